"""What the rehearsal of a checkpoint adds, next to the same checkpoint without it.

python -m bench.rehearsal_cost [small|gib|processes|threads ...]
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from .checkpoint_speed import CASES
from .common import Line, asked, compiled, launch, ms, report, scratch, wait_for_ready


def measure(names: Sequence[str] = tuple(CASES)) -> list[Line]:
    return [measure_one(name) for name in names]


def measure_one(name: str, rounds: int | None = None) -> Line:
    """One case: the pod goes on each time, with and without a rehearsal in turns."""
    from zaptrace.image.sink import DirectorySink
    from zaptrace.pod.checkpoint import checkpoint

    load, usual = CASES[name]
    line = Line(f"rehearsed checkpoint {name}", "ms", rival="the same without a rehearsal")
    with scratch() as place:
        out = place / "out"
        pod = launch([compiled("load"), *load], out)
        try:
            wait_for_ready(out)
            for n in range(rounds or usual):
                for rehearsal, samples in ((True, line.ours), (False, line.theirs)):
                    image = place / f"image-{n}"

                    def write(sink: DirectorySink, rehearsal: bool = rehearsal) -> None:
                        checkpoint(pod, sink, then="resume", rehearsal=rehearsal)

                    samples.append(ms(write, DirectorySink(image)))
                    shutil.rmtree(image)
        finally:
            pod.kill()
            pod.close()
    return line


def main(argv: Sequence[str] = ()) -> None:
    report("rehearsal_cost", measure(asked(argv, list(CASES))))


if __name__ == "__main__":
    main(sys.argv[1:])

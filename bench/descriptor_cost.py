"""What an open descriptor costs, in microseconds each, next to one of a pod that has few of them.

As long as that is the same, a pod of any size is in proportion.

python -m bench.descriptor_cost [file|pipe|socket|... of programs/descriptors.c]
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence

from .common import Line, asked, compiled, launch, report, restored, scratch, timed, wait_for_ready

KINDS = (
    "file", "removed", "duplicate", "pipe", "socket", "accepted", "bound", "udp", "epoll",
    "eventfd", "timer", "memfd",
)  # fmt: skip
FEW = 500
MANY = (1000, 2000, 20000)
_SPARE = 100


def measure(kinds: Sequence[str] = KINDS, counts: Sequence[int] = MANY) -> list[Line]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE
    lines = []
    for kind in kinds:
        saved, back = both_ways(kind, FEW)
        for count in sorted({min(count, most) for count in counts}):
            more = both_ways(kind, count)
            for what, ours, theirs in zip(("save", "restore"), more, (saved, back), strict=True):
                line = Line(f"{what} {count} {kind}", "us each", rival=f"of {FEW}")
                line.ours.append(ours)
                line.theirs.append(theirs)
                lines.append(line)
    return lines


def both_ways(kind: str, count: int) -> tuple[float, float]:
    """Frozen time of a checkpoint, and a restore, in microseconds for each descriptor."""
    from zaptrace.image.sink import DirectorySink
    from zaptrace.pod.checkpoint import checkpoint

    with scratch() as place:
        out = place / "out"
        pod = launch([compiled("descriptors"), kind, str(count), "1"], out)
        try:
            wait_for_ready(out)
            saved = checkpoint(pod, DirectorySink(place / "image"), then="stop", rehearsal=False)
            pod.close()
            took, pod = timed(restored, place / "image")
        finally:
            pod.close()
    return 1e6 * saved.downtime_s / count, 1e3 * took / count


def main(argv: Sequence[str] = ()) -> None:
    report("descriptor_cost", measure(asked(argv, KINDS)))


if __name__ == "__main__":
    main(sys.argv[1:])

"""What one of very many costs, in microseconds each, next to one of a pod that has few of them:
descriptors of each kind, ends of TCP connections, areas of memory, processes.

As long as that is the same, a pod of any size is in proportion.

python -m bench.many_cost [file|pipe|connection|area|process|... of programs/many.c]
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence

from .common import Line, asked, compiled, launch, report, restored, scratch, timed, wait_for_ready

KINDS = (
    "file", "removed", "duplicate", "pipe", "socket", "accepted", "bound", "udp", "epoll",
    "eventfd", "timer", "memfd", "connection", "area", "process",
)  # fmt: skip
FEW = {"process": 50}
MANY = {"process": (200, 1000), "area": (2000, 10_000)}
_USUAL_FEW, _USUAL_MANY = 500, (1000, 2000, 20_000)
_SPARE = 100


def measure(kinds: Sequence[str] = KINDS) -> list[Line]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE
    lines = []
    for kind in kinds:
        few = FEW.get(kind, _USUAL_FEW)
        saved, back = both_ways(kind, few)
        for count in sorted({min(count, most) for count in MANY.get(kind, _USUAL_MANY)}):
            more = both_ways(kind, count)
            for what, ours, theirs in zip(("save", "restore"), more, (saved, back), strict=True):
                line = Line(f"{what} {count} {kind}", "us each", rival=f"of {few}")
                line.ours.append(ours)
                line.theirs.append(theirs)
                lines.append(line)
    return lines


def both_ways(kind: str, count: int) -> tuple[float, float]:
    """Frozen time of a checkpoint, and a restore, in microseconds for each of them."""
    from zaptrace.image.sink import DirectorySink
    from zaptrace.pod.checkpoint import checkpoint

    with scratch() as place:
        out = place / "out"
        processes = count if kind == "process" else 1
        pod = launch([compiled("many"), kind, str(count), str(processes)], out)
        try:
            wait_for_ready(out)
            saved = checkpoint(pod, DirectorySink(place / "image"), then="stop", rehearsal=False)
            pod.close()
            took, pod = timed(restored, place / "image")
        finally:
            pod.close()
    return 1e6 * saved.downtime_s / count, 1e3 * took / count


def main(argv: Sequence[str] = ()) -> None:
    report("many_cost", measure(asked(argv, KINDS)))


if __name__ == "__main__":
    main(sys.argv[1:])

"""What one of very many costs, next to one of few: as long as that is the same, a load of any size is in
proportion."""

from __future__ import annotations

import resource
from collections.abc import Iterable
from pathlib import Path

from ..experiment import Experiment, Figure
from ..system import Inside
from ..tools import compiled, ms, wait_for

KINDS = (
    "file", "removed", "duplicate", "pipe", "socket", "accepted", "bound", "udp", "epoll",
    "eventfd", "timer", "memfd", "connection", "area", "thread", "mib", "process",
)  # fmt: skip
COUNTS = {
    "process": (100, 1000),
    "area": (1000, 10_000),
    "thread": (100, 1000),
    "mib": (64, 1024),
}
UNITS = {
    "10,000 descriptors": "10000 file",
    "10,000 areas": "10000 area",
    "1,000 processes": "1000 process",
    "1,000 TCP connections": "2001 connection",
    "1,000 threads": "1000 thread",
    "1 GiB, for each MiB": "1024 mib",
}
"""Both ends of a connection count, and so does their listener."""
QUICK = {"50 areas": "50 area"}
_USUAL = (1000, 10_000)
_SPARE = 100
_MADE_S = 60.0


class Many(Experiment):
    name = "many"
    title = "What one of very many costs"
    about = (
        "bench/programs/many.c makes so many things of one kind, and waits. suspend and resume are "
        "divided by how many there are. There is no counter here: that all of it is there again is "
        "what the tests are for (docs/carried.md)."
    )
    rounds = 1
    systems = ("zaptrace-fresh", "zaptrace-unrehearsed")

    def cases(self, quick: bool) -> list[str]:
        if quick:
            return ["500 file"]
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE
        return [
            f"{count} {kind}"
            for kind in KINDS
            for count in sorted({min(count, most) for count in COUNTS.get(kind, _USUAL)})
        ]

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        yield from each(case, inside, place)


class Units(Experiment):
    name = "units"
    title = "What one of a thousand costs"
    share = 3.0
    about = (
        "bench/programs/many.c as above, in every system that suspends processes: one size of each kind; "
        "the whole time, divided by how many there are."
    )
    rounds = 3
    systems = (
        "zaptrace-fresh", "zaptrace-moved", "zaptrace-unrehearsed", "criu-root", "criu-user", "gvisor",
        "dmtcp",
    )  # fmt: skip

    def cases(self, quick: bool) -> list[str]:
        return [*QUICK] if quick else [*UNITS]

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        yield from each((UNITS | QUICK)[case], inside, place)


def each(case: str, inside: Inside, place: Path) -> list[Figure]:
    """COUNT KIND, there and back."""
    count, kind = case.split()
    processes = count if kind == "process" else "1"
    load = inside.start([compiled("many"), kind, count, processes])
    try:
        wait_for("all made", load.out, _MADE_S)  # what moved it here may have said ready before
        took = ms(load.suspend, place / "state")
        back = ms(load.resume, place / "state")
        return [
            Figure("suspend, each", 1e3 * took / int(count), "µs"),
            Figure("resume, each", 1e3 * back / int(count), "µs"),
        ]
    finally:
        load.close()

"""How long everything takes to stand still, and to go on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..experiment import Experiment, Figure
from ..system import Inside, WrongError
from ..ticks import Ticks
from ..tools import compiled, ms

CASES = {
    "1 process": ["processes", "1"],
    "50 processes": ["processes", "50"],
    "200 processes": ["processes", "200"],
    "1,000 threads": ["threads", "1000"],
}


class Freeze(Experiment):
    name = "freeze"
    title = "Freeze and thaw"
    about = (
        "bench/programs/load.c again. freeze: until no thread of it runs; natively that is SIGSTOP to the "
        "group, seen in /proc to have stopped all. thaw: until the request is served. A sample "
        "counts when nothing was counted between, and the counter went on afterwards."
    )
    rounds = 15

    def cases(self, quick: bool) -> list[str]:
        return [*CASES][:1] if quick else [*CASES]

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        load = inside.start([compiled("load"), *CASES[case]])
        try:
            ticks = Ticks(load.out)
            ticks.next()
            took = ms(load.freeze)
            ticks.look()
            if ticks.look():
                raise WrongError("it counted when it was frozen")
            back = ms(load.thaw)
            ticks.next()
            return [Figure("freeze", took, "ms"), Figure("thaw", back, "ms")]
        finally:
            load.close()

"""What system calls cost, natively and inside of each system."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..experiment import Experiment, Figure
from ..system import Inside, WrongError
from ..tools import compiled


def parse(said: str) -> dict[str, float]:
    """Microseconds by name, of a run that came to its end."""
    *lines, last = said.split("\n")[:-1] or [""]
    if last != "PASS":
        raise WrongError(f"calls: {last or 'nothing was said'}")
    return {name: float(cost) / 1000 for name, cost in map(str.split, lines)}


class RunCost(Experiment):
    name = "run_cost"
    title = "What system calls cost"
    about = (
        "bench/programs/calls.c makes each call over and over, for 20 ms or more, and looks at every "
        "answer. ping_pong is with another process: two context switches. The program is the same "
        "in every system."
    )
    rounds = 9

    def cases(self, quick: bool) -> list[str]:
        return ["quick" if quick else "all"]

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        said = inside.run([compiled("calls"), "1" if case == "quick" else "20"], patience_s=600)
        return [Figure(name, cost, "µs") for name, cost in parse(said).items()]


class OneProcessor(RunCost):
    name = "one_processor"
    title = "What system calls cost when all of it shares one processor"
    about = (
        "bench/programs/calls.c as before, but the system and the program in it may use one processor. "
        "What a call costs less here than there is what it takes to wake another processor: natively "
        "the ping_pongs show the same."
    )
    rounds = 5
    systems = ("native", "zaptrace-fresh", "zaptrace-moved", "strace", "proot")
    """Those that are processes of ours."""

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})  # a thread of ours passes it on to what it makes
        try:
            yield from super().measure(case, inside, place)
        finally:
            os.sched_setaffinity(0, before)

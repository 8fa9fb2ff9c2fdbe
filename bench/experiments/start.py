"""How long until something small has run, by each system's own command."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..experiment import Experiment, Figure
from ..system import Inside


class Start(Experiment):
    name = "start"
    title = "The start of something small"
    about = (
        "The system's own command with a program that does nothing, from the shell's view: "
        "`zaptrace run -- true`, `runsc do true`, a virtual machine that boots and is told to. "
        "clock: until it is over. cpu: processor time of all that it left to end."
    )
    rounds = 15

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        took, busy = inside.start_anew()
        yield Figure("clock", took, "ms")
        if busy is not None:
            yield Figure("cpu", busy, "ms")


class Pods(Experiment):
    name = "pods"
    title = "Many of them on one host"
    about = (
        "So many pods by `zaptrace run -d -- sleep`, or idle virtual machines. start: of one, "
        "on average. resident, shared fairly (Pss): memory of all of them, for each. "
        "idle: processor time that all of them take in a second in which nothing is to be done, for each."
    )
    rounds = 3
    systems = ("zaptrace-fresh", "qemu-minimal")

    def cases(self, quick: bool) -> list[str]:
        return ["2 pods"] if quick else ["1 pods", "10 pods", "30 pods"]

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        for name, value, unit in inside.command(case, place):
            yield Figure(name, value, unit)


class Commands(Experiment):
    name = "commands"
    title = "What a command costs that does nothing"
    about = (
        "`zaptrace --help` and a completion in a shell, next to `python3 -c pass`, which is the least "
        "that a program in Python takes; and the memory of a supervisor whose pod sleeps."
    )
    rounds = 15
    systems = ("native", "zaptrace-fresh")

    def cases(self, quick: bool) -> list[str]:
        return ["help"] if quick else ["help", "completion", "idle supervisor"]

    def rounds_of(self, case: str) -> int:
        return 1 if case == "idle supervisor" else self.rounds

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        for name, value, unit in inside.command(case, place):
            yield Figure(name, value, unit)

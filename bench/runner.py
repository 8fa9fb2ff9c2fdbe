"""Rounds: every system does a round of a case before any does the next, so that a slow moment of the
host hits all of them alike. What goes wrong in one is a void sample of that one, and told. Every wait
has an end."""

from __future__ import annotations

import contextlib
import math
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import host, keeper
from .experiment import Experiment
from .samples import ENDLESS, Results, Sample, Void
from .system import (
    EndlessError,
    Inside,
    LateError,
    NotOfferedError,
    RefusedError,
    System,
    WrongError,
)
from .tools import discard, scratch, within

WHY = {
    NotOfferedError: "not offered",
    RefusedError: "refused",
    WrongError: "wrong",
    LateError: "late",
    EndlessError: ENDLESS,
    OSError: "refused",
    subprocess.SubprocessError: "refused",
}
Progress = Callable[[str, int, int], None]
_UP_S = 1800.0
"""For all systems of an experiment to come up, of which some make their guests first."""


def why(error: BaseException) -> str:
    return next((word for kind, word in WHY.items() if isinstance(error, kind)), "wrong")


def stopped(error: BaseException | None) -> bool:
    """Somebody has stopped the run, and then something else went wrong as well."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


class Runner:
    """What a run has so far; `progress` hears of each sample to come: what, which, of how many."""

    def __init__(
        self,
        systems: dict[str, System],
        *,
        rounds: int | None = None,
        quick: bool = False,
        only: Sequence[str] = (),
        progress: Progress = lambda *_: None,
    ) -> None:
        """`only`: cases with one of these in their name; without any, all."""
        self.rounds, self.quick, self.progress = rounds, quick, progress
        self.only = only
        self.results = Results(
            run=host.facts() | {"systems": list(systems), "versions": {}, "words": {}}
        )
        self.systems: dict[str, System] = {}
        for name, system in systems.items():
            if line := system.missing():
                self.results.voids.append(Void("", "", name, 0, "missing", line))
            else:
                self.systems[name] = system
                self.results.run["versions"][name] = system.version()
                if system.words:
                    self.results.run["words"][name] = system.words

    def run(self, experiment: Experiment, may_take_s: float = math.inf) -> None:
        """All rounds of all cases, each system being up throughout. The first round is whole, however
        long it takes; no other begins when the time is over."""
        until = time.monotonic() + may_take_s
        mine = {
            name: system
            for name, system in self.systems.items()
            if (experiment.systems is None or name in experiment.systems)
            and system.supports(experiment.name)
        }
        with contextlib.ExitStack() as stack:
            up: dict[str, Inside] = {}
            home = stack.enter_context(scratch())
            for name, system in mine.items():
                self.progress(f"{experiment.name}: {name} comes up", 0, 0)
                place = home / name
                place.mkdir()
                try:
                    with within(_UP_S, f"{name} comes up, which"):
                        up[name] = stack.enter_context(system.up(place))
                except Exception as error:
                    self._void(experiment, "", name, 0, error)
            self._rounds(experiment, up, home, until)
            stack.enter_context(within(experiment.limit_s, "the end of all systems"))

    def _rounds(
        self, experiment: Experiment, up: dict[str, Inside], home: Path, until: float
    ) -> None:
        cases = [
            case
            for case in experiment.cases(self.quick)
            if not self.only or any(text in case for text in self.only)
        ]
        counts = {case: self.rounds or experiment.rounds_of(case) for case in cases}
        total, at = sum(counts.values()) * len(up), 0
        gone: set[tuple[str, str]] = set()
        for number in range(max(counts.values(), default=0)):
            for case in (case for case in cases if number < counts[case]):
                if number and time.monotonic() > until:
                    return
                for name, inside in up.items():
                    at += 1
                    self.progress(f"{experiment.name}: {case}, {name}", at, total)
                    if (case, name) not in gone and not self._one(
                        experiment, case, name, inside, number, home
                    ):
                        gone.add((case, name))  # what was refused once is not asked for again

    def _one(
        self,
        experiment: Experiment,
        case: str,
        name: str,
        inside: Inside,
        number: int,
        home: Path,
    ) -> bool:
        """One round of one system. False: nothing better is to be expected of another."""
        place = Path(tempfile.mkdtemp(dir=home))
        place.chmod(0o755)
        before = host.load()
        try:
            with within(experiment.limit_s, f"a round of {case}"):
                figures = list(experiment.measure(case, inside, place))
        except Exception as error:
            if stopped(error):
                raise KeyboardInterrupt from error
            self._void(experiment, case, name, number, error)
            return isinstance(error, WrongError)
        finally:
            discard(place)
            keeper.reap_but(-1)  # orphans of pods that ran in this process are its children
        self.results.samples += [
            Sample(
                experiment.name, case, name, number, figure.name, figure.unit, figure.value, before
            )
            for figure in figures
        ]
        return True

    def _void(
        self, experiment: Experiment, case: str, name: str, number: int, error: BaseException
    ) -> None:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        if type(error) in WHY:
            said = " ".join(str(error).split())
        self.results.voids.append(Void(experiment.name, case, name, number, why(error), said[:500]))

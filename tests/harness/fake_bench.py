"""A system and an experiment that cost nothing and do as they are told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.experiment import Experiment, Figure
from bench.system import Inside, RefusedError, System, WrongError


class FakeInside(Inside):
    def __init__(self, costs: Sequence[float]) -> None:
        self.costs = iter(costs)

    def run(self, argv: Sequence[str], patience_s: float = 0) -> str:
        return str(next(self.costs))


class FakeSystem(System):
    def __init__(self, name: str, costs: Sequence[float], missing: str | None = None) -> None:
        self.name, self.about, self.costs, self._missing = name, f"a fake {name}", costs, missing
        self.is_up = False

    def missing(self) -> str | None:
        return self._missing

    def version(self) -> str:
        return f"{self.name} 1"

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        assert place.is_dir()
        self.is_up = True
        try:
            yield FakeInside(self.costs)
        finally:
            self.is_up = False


class FakeExperiment(Experiment):
    """A cost below 0 is a wrong answer, one of 0 is refused; `asked` notes who was, in order."""

    name = "fake"
    title = "A fake"
    about = "Nothing is measured."

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []

    def cases(self, quick: bool) -> list[str]:
        return ["one"]

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        cost = float(inside.run(["it"]))
        self.asked.append((case, cost))
        if cost < 0:
            raise WrongError("2 + 2 = 5")
        if cost == 0:
            raise RefusedError("not today")
        return [Figure("cost", cost, "ms")]

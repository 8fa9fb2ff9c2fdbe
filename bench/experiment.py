"""The contract of an experiment: cases, and what one round of one case in one system gives.

An experiment is one file of bench/experiments with one subclass of `Experiment`, found by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .system import Inside


@dataclass(frozen=True)
class Figure:
    """One number of one round; less is better."""

    name: str
    value: float
    unit: str


class Experiment:
    name = ""
    title = ""
    about = ""
    """What is measured and how, for who reads the report."""
    rounds = 5
    share = 1.0
    """Of the time that a run may take, next to other experiments."""
    limit_s = 900.0
    """A round of one system that takes longer is ended, whatever it waits for."""
    systems: tuple[str, ...] | None = None
    """Those that it is about; None: all."""

    def cases(self, quick: bool) -> list[str]:
        """Each is measured in a round of its own; `quick` asks for those that take seconds."""
        return [self.name]

    def rounds_of(self, case: str) -> int:
        return self.rounds

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        """Raises what bench/system.py has for a sample that there is not; `place` is empty."""
        raise NotImplementedError

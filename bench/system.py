"""The contract of a system: something that runs programs, and may suspend and resume them.

A system is one file of bench/systems with one or more subclasses of `System`; those that are not
abstract (they have a `name`) are found by themselves. Experiments know this contract and nothing else
of a system. What a system does not offer raises `NotOfferedError`, what it refuses `RefusedError`: both are
told in the report, with what it said.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import asroot
from .throttle import Throttle


class NotOfferedError(Exception):
    """The system has no such thing."""


class RefusedError(Exception):
    """The system was asked and did not do it; what it said."""


class WrongError(Exception):
    """The work came to a wrong answer: the sample is void."""


class LateError(Exception):
    """A time limit struck: there is no number, and this says whose."""


class EndlessError(Exception):
    """It goes on and never comes to an end: live migration of what is written to faster than it is sent."""


PATIENCE_S = 120.0


class Load:
    """A program that goes on until it is closed, and what can be done with it.

    What it writes appears in `out`, a file of this host, whatever it runs in.
    """

    out: Path

    def freeze(self) -> None:
        """Nobody of it runs any more."""
        raise NotOfferedError("cannot be frozen in place")

    def thaw(self) -> None:
        raise NotOfferedError("cannot be frozen in place")

    def suspend(self, to: Path) -> None:
        """Its whole state is in the directory `to`, and it runs no more."""
        raise NotOfferedError("has no way to suspend")

    def resume(self, state: Path) -> None:
        """What `suspend` left goes on, and writes to `out` again."""
        raise NotOfferedError("has no way to suspend")

    def move(self, by: Throttle) -> None:
        """To another instance of the system, over a connection that goes through `by`; it runs there
        afterwards, and not here."""
        raise NotOfferedError("has no way to move what runs")

    def ended(self) -> str:
        """What it said when it came to an end by itself; empty while nothing is known of one."""
        return ""

    def size(self, state: Path) -> int:
        """Bytes on disk of what `suspend` left."""
        return sum(
            path.stat().st_blocks * 512
            for path in state.rglob("*")
            if path.is_file() and not path.is_symlink()
        )

    def close(self) -> None:
        """It is gone, in whatever state it was."""
        raise NotImplementedError


class Inside:
    """A system that is up."""

    def run(self, argv: Sequence[str], patience_s: float = PATIENCE_S) -> str:
        """What a program writes from its start to its end; it has to end well."""
        raise NotImplementedError

    def start(self, argv: Sequence[str]) -> Load:
        raise NotImplementedError

    def start_to_move(self, argv: Sequence[str]) -> Load:
        """Like `start`, of a load that will be moved."""
        raise NotOfferedError("has no way to move what runs")

    def start_anew(self) -> tuple[float, float | None]:
        """Start and end by its own command, with nothing to do inside: milliseconds on the clock, and
        of the processor where that can be told."""
        raise NotOfferedError("has no command of its own")

    def command(self, case: str, place: Path) -> list[tuple[str, float, str]]:
        """What one of its commands costs (experiments/start.py): names, numbers, units."""
        raise NotOfferedError("has no such command")


class System:
    name = ""
    about = ""
    """For a table: what it is, in a few words."""
    programs: tuple[str, ...] = ()
    """What has to be found on PATH."""
    packages: tuple[str, ...] = ()
    """Of the distribution, which have these."""
    words = ""
    """For the titles of tables, where a reader has to know: under emulation, say."""
    as_root = False
    """It needs root; bench/asroot.py hands it out."""
    usual = False
    """Measured when nobody asks for systems by name (make bench)."""

    def missing(self) -> str | None:
        """None, or the line that would install what is missing."""
        if [program for program in self.programs if not shutil.which(program)]:
            return f"apt-get install {' '.join(self.packages)}"
        if self.as_root and not asroot.offered():
            return "as root: make bench-all"
        return None

    def version(self) -> str:
        raise NotImplementedError

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        """For as long as it lasts; `place` is a directory of its own."""
        raise NotImplementedError
        yield

    def supports(self, experiment: str) -> bool:
        """Whether it makes sense there; what is not supported is not even tried."""
        return True

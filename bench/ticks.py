"""Proof that a load goes on: the counter that it writes continues, each number once.

A load says "ready", then lines "COUNT LAP" (bench/programs/load.c): COUNT goes up by one, LAP when it
has looked at all that it holds once more. One that has lost something says "wrong" and ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from .system import PATIENCE_S, LateError, NotOfferedError, RefusedError, WrongError

_PAUSE_S = 0.0005
_AT_LEAST = 2
"""Laps until everything was looked at: the one that is on its way, and a whole one."""


class Ticks:
    """What a load has said so far, read on as it says more; every line is checked."""

    def __init__(self, out: Path, ended: Callable[[], str] = lambda: "") -> None:
        """`ended` says why nothing more is to be expected, if so."""
        self._ended = ended
        self._out, self._at, self._rest = out, 0, b""
        self.count, self.lap = 0, 0
        self.ready = False

    def look(self) -> bool:
        """Take in what is new; True when a number is among it. WrongError when one is missing."""
        try:
            with self._out.open("rb") as file:
                file.seek(self._at)
                got = file.read()
        except FileNotFoundError:
            return False
        self._at += len(got)
        *lines, self._rest = (self._rest + got).split(b"\n")
        ticked = False
        for line in (line.strip().decode(errors="replace") for line in lines):
            if line.startswith("@missing"):
                raise NotOfferedError(f"{line.split()[-1]} is not installed in it")
            if line.startswith("@failed"):
                raise RefusedError(f"it does not come up: {line.removeprefix('@failed ')}")
            if not self.ready and line.startswith("ModuleNotFoundError:"):
                raise NotOfferedError(f"its Python has no module {line.split()[-1]}")
            if line == "ready":
                self.ready = True
            elif self.ready and line:
                self._take(line)
                ticked = True
        return ticked

    def _take(self, line: str) -> None:
        try:
            count, lap = map(int, line.split())
        except ValueError:
            raise WrongError(f"it says {line!r} after {self.count}") from None
        if count != self.count + 1:
            raise WrongError(f"its counter was {self.count}, and went on with {count}")
        self.count, self.lap = count, lap

    def next(self, patience_s: float = PATIENCE_S) -> None:
        """Until it says the next number."""
        deadline = time.monotonic() + patience_s
        while not self.look():
            if why := self._ended():
                raise RefusedError(f"no number after {self.count}: {why}")
            if time.monotonic() > deadline:
                raise LateError(f"no number after {self.count} in {patience_s:.0f} s")
            time.sleep(_PAUSE_S)

    def everything(self, patience_s: float = PATIENCE_S) -> None:
        """Until it has looked at all that it holds, from now on."""
        self.look()
        deadline, wanted = time.monotonic() + patience_s, self.lap + _AT_LEAST
        while self.lap < wanted:
            self.next(max(0.0, deadline - time.monotonic()))

    def last_said(self) -> float:
        """When it last said something, by this host's clock of the day."""
        return os.stat(self._out).st_mtime

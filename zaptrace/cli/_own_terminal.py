"""The terminal that we were started at, made raw while a pod has it."""

from __future__ import annotations

import contextlib
import termios
import tty
from typing import Any


class OwnTerminal:
    """`fd`: our stdin, or -1 where that is none; then nothing is done."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._cooked: list[Any] | None = None

    @property
    def is_raw(self) -> bool:
        return self._cooked is not None

    def make_raw(self) -> None:
        """What is typed comes as it is, ctrl-c too."""
        if self.fd >= 0 and self._cooked is None:
            self._cooked = termios.tcgetattr(self.fd)
            tty.setraw(self.fd, termios.TCSANOW)

    def restore(self) -> None:
        """As it was before."""
        if self._cooked is not None:
            with contextlib.suppress(termios.error):
                # Not TCSADRAIN: a terminal that nobody reads would hold us here.
                termios.tcsetattr(self.fd, termios.TCSANOW, self._cooked)
            self._cooked = None

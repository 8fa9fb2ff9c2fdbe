"""Taking an flock(2) lock on a description for whoever had it: /proc/locks shows who took it."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from typing import TYPE_CHECKING

from ...linux.program import Argument, Program, Row
from .lending import lend, succeeded

if TYPE_CHECKING:
    from ...view.build import BuildProcess

_TAKE = """
import fcntl, sys
try:
    fcntl.flock(int(sys.argv[1]), int(sys.argv[2]))
except OSError as error:
    sys.exit(error.errno)
"""
_PATIENCE_S = 60.0


def operation(exclusive: bool) -> int:
    return (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB


def row(program: Program, fd: Argument, exclusive: bool) -> Row:
    """Of a process that takes it itself; see `succeeded`."""
    return program.call("flock", fd, operation(exclusive), may_fail=True)


def take_at_last(process: BuildProcess, fd: int, exclusive: bool) -> None:
    """By a process that has its own descriptors by now. Raises OSError; see `lend`."""

    def take(number: int) -> None:
        program = Program()
        taking = row(program, number, exclusive)
        succeeded(process.run(program)[taking])

    lend(process, fd, take)


def take_as_one_who_ended(fd: int, exclusive: bool) -> None:
    """By a process of ours, which ends. Raises OSError."""
    command = [sys.executable, "-I", "-S", "-E", "-c", _TAKE, str(fd), str(operation(exclusive))]
    succeeded(-subprocess.run(command, pass_fds=[fd], timeout=_PATIENCE_S).returncode)

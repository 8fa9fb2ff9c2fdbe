"""Makes one call of ours fail: the n-th of the supervisor's system calls, or row of a program.

The calls are those of `os`, `fcntl` and `socket` that Python code of zaptrace makes on its way to
the kernel; each fails with an error that it may answer on a full or limited machine. A row that
fails is one of a syscall program: in its place one is made that answers EBADF.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from zaptrace.linux.program import Program

_OS = (
    "open", "openat", "read", "pread", "preadv", "write", "pwrite", "lseek", "ftruncate", "fstat",
    "stat", "lstat", "listdir", "scandir", "readlink", "dup", "dup2", "pipe", "pipe2", "mkdir",
    "memfd_create", "eventfd", "sendfile", "fsync", "rename", "link", "fchmod", "utime", "mkfifo",
    "sched_getaffinity", "sched_setaffinity", "getpriority", "getxattr", "copy_file_range",
)  # fmt: skip
_SOCKET = (
    "bind",
    "connect",
    "listen",
    "sendmsg",
    "recvmsg",
    "send",
    "recv",
    "setsockopt",
    "accept",
)
_ERRORS = (errno.EMFILE, errno.ENOMEM, errno.ENOSPC, errno.EIO)


@dataclass
class Sabotage:
    """Which call is to fail, and how many were made so far."""

    at: int
    made: int = 0
    what: str = ""
    """The call that failed."""

    def next(self, name: str) -> bool:
        """Is this the one?"""
        self.made += 1
        if self.made != self.at:
            return False
        self.what = name
        return True


@contextlib.contextmanager
def failing_call(at: int) -> Iterator[Sabotage]:
    """The supervisor's `at`-th call fails (from 1; 0: none, they are only counted)."""
    sabotage = Sabotage(at)
    error = _ERRORS[at % len(_ERRORS)]
    with contextlib.ExitStack() as stack:
        places = [(os, n) for n in _OS if hasattr(os, n)] + [(socket.socket, n) for n in _SOCKET]
        for place, name in [*places, (fcntl, "fcntl"), (fcntl, "ioctl"), (fcntl, "flock")]:
            stack.enter_context(_replaced(place, name, sabotage, error))
        yield sabotage


@contextlib.contextmanager
def _replaced(place: Any, name: str, sabotage: Sabotage, error: int) -> Iterator[None]:
    real = getattr(place, name)
    own = name in vars(place)

    def call(*args: Any, **options: Any) -> Any:
        if sabotage.next(name):
            raise OSError(error, os.strerror(error))
        return real(*args, **options)

    setattr(place, name, call)
    try:
        yield
    finally:
        if own:
            setattr(place, name, real)
        else:
            delattr(place, name)


@contextlib.contextmanager
def failing_row(at: int) -> Iterator[Sabotage]:
    """The `at`-th row of all programs fails."""
    sabotage = Sabotage(at)
    real = Program.run

    def run(self: Program, *args: Any) -> Any:
        for number, (name, _, may_fail) in enumerate(self.rows):
            if sabotage.next(name):
                self.rows[number] = ("close", (-1,), may_fail)
        return real(self, *args)

    Program.run = run  # type: ignore[method-assign]
    try:
        yield sabotage
    finally:
        Program.run = real  # type: ignore[method-assign]


KINDS: dict[str, Callable[[int], contextlib.AbstractContextManager[Sabotage]]] = {
    "call": failing_call,
    "row": failing_row,
}

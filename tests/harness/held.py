"""Holds a single thread of another process, by ptrace: what others do meanwhile it meets all at once.

It is how a test has a tracer look late, at a moment that a busy host would have to hit.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

from harness.runs import thread_state
from harness.supervisors import eventually
from zaptrace.linux.procfs import status

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000


def tracer_of(rpid: int) -> int:
    """The thread that traces this process."""
    return int(status(rpid)["TracerPid"])


@contextlib.contextmanager
def held(tid: int) -> Iterator[None]:
    """Whatever it waits for, it does not hear of it before this is left."""
    _ptrace(_SEIZE, tid)
    try:
        _ptrace(_INTERRUPT, tid)
        os.waitpid(tid, _WALL)
        yield
    finally:
        _ptrace(_DETACH, tid)


def stops(rtid: int) -> None:
    """Wait until this thread is in a stop that its tracer has not answered yet."""
    eventually(lambda: thread_state(rtid) == "t", f"a stop of {rtid}")


def _ptrace(request: int, tid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(request, tid, ctypes.c_void_p(), ctypes.c_void_p()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

"""Holds a single thread of another process, by ptrace: what others do meanwhile it meets all at once.

It is how a test has a tracer look late, at a moment that a busy host would have to hit.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

from harness.runs import thread_state
from harness.supervisors import eventually
from zaptrace.linux.procfs import status

_SEIZE, _INTERRUPT, _SYSCALL, _DETACH = 0x4206, 0x4207, 24, 17
_TRACESYSGOOD, _IN_A_CALL = 1, signal.SIGTRAP | 0x80
_WALL = 0x40000000


def tracer_of(rpid: int) -> int:
    """The thread that traces this process."""
    return int(status(rpid)["TracerPid"])


@contextlib.contextmanager
def held(tid: int) -> Iterator[None]:
    """Whatever it waits for, it does not hear of it before this is left."""
    _ptrace(_SEIZE, tid, _TRACESYSGOOD)
    try:
        _ptrace(_INTERRUPT, tid)
        _stopped(tid)
        yield
    finally:
        _ptrace(_DETACH, tid)


def step(tid: int) -> None:
    """Let one that is held go on to where its next call begins or ends."""
    given = 0
    while True:
        _ptrace(_SYSCALL, tid, given)
        stop = os.WSTOPSIG(status := _stopped(tid))
        if stop == _IN_A_CALL:
            return
        given = 0 if status >> 16 else stop  # a signal of its own


def _stopped(tid: int) -> int:
    found = [0, 0]

    def has() -> bool:
        found[:] = os.waitpid(tid, _WALL | os.WNOHANG)
        return found[0] == tid

    eventually(has, f"a stop of {tid}")
    assert os.WIFSTOPPED(found[1])
    return found[1]


def stops(rtid: int) -> None:
    """Wait until this thread is in a stop that its tracer has not answered yet."""
    eventually(lambda: thread_state(rtid) == "t", f"a stop of {rtid}")


def _ptrace(request: int, tid: int, data: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(request, tid, ctypes.c_void_p(), ctypes.c_void_p(data)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

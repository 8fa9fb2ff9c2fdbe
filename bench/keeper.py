"""Nothing outlives a run: who measures is the child of a keeper, who is given every process whose own
parent has gone, and ends what is left when the run is over, however that came about.

SIGINT and SIGTERM go on to the run, which writes what it has so far; struck twice, everything ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PATIENCE_S = 10.0
STOPS = (signal.SIGINT, signal.SIGTERM)


def prctl(what: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(what, value, 0, 0, 0)


def adopt() -> None:
    """Orphans below are this process's children from now on."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> list[int]:
    me = os.getpid()
    return [*map(int, Path(f"/proc/{me}/task/{me}/children").read_text().split())]


def reap_but(child: int) -> None:
    """Those that have ended; `child` is somebody else's to wait for."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == child:
                return
            os.waitpid(ended.si_pid, 0)


def end_all() -> list[int]:
    """Until there is no child, or in vain for some seconds; who had to be ended."""
    ended: list[int] = []
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        reap_but(-1)
        if not (left := children()):
            break
        for pid in left:
            if pid not in ended:
                ended.append(pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return ended


def kept(work: Callable[[], int]) -> int:
    """The status of `work`, done in a child of which nothing is left."""
    adopt()
    keeper = os.getpid()
    for number in STOPS:  # what comes before there is a child waits
        signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    child = os.fork()
    if child == 0:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        for number in STOPS:
            signal.signal(number, _stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return work()
    struck: list[int] = []

    def pass_on(number: int, _: object) -> None:
        struck.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL if len(struck) > 1 else number)

    for number in STOPS:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    status = _wait(child)
    if left := end_all():
        print(f"bench: {len(left)} processes were left, and ended", file=sys.stderr)
    return status


def _wait(child: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def _stop(number: int, _: object) -> None:
    """Once: what cleans up is not to be stopped by a second one of the same strike."""
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt

"""Spent EPOLLONESHOT watches: each is armed for what its file is ready for, and spent by a wait.

An empty pipe is ready for a moment: it gets a byte, and loses it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..common.file import reopen

if TYPE_CHECKING:
    from .control import Control
    from .watch import Watch


def spend(control: Control, watches: Sequence[Watch], file: Callable[[int], int]) -> None:
    """Before anything else is watched. `file`: a descriptor of ours, by the file's id."""
    ready = control.ready(watches)
    idle = {watch.file_id for watch in watches if not ready[watch]}
    with contextlib.ExitStack() as stack:
        for file_id in idle:
            stack.enter_context(_filled(file(file_id)))
        ready |= control.ready([watch for watch in watches if watch.file_id in idle])
        for watch in watches:
            control.add(watch, watch.events | ready[watch])
        for watch in filter(control.is_alone, watches):
            control.arm(watch, watch.events | ready[watch])
        control.wait(watches)


@contextlib.contextmanager
def _filled(fd: int) -> Iterator[None]:
    """The empty pipe that this is the reading end of has something in it, unless that sends a signal.

    A pipe with a name is not the pod's alone.
    """
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    reads = flags & os.O_ACCMODE == os.O_RDONLY and not flags & os.O_ASYNC
    if not reads or not os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
        yield
        return
    writer = reopen(fd, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(writer, b"!")
    finally:
        os.close(writer)
    try:
        yield
    finally:
        os.read(fd, 1)

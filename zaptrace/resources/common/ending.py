"""Ending a process that was only made to have ended."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...ids import Rpid, Vpid
from ...linux.native import lib
from ...linux.program import Program
from ...linux.tracee import Thread
from ...view.build import BuildProcess

if TYPE_CHECKING:
    from ...view.build import Build

CLONE_FILES = 0x400
_THREAD = 0x100 | 0x200 | CLONE_FILES | 0x800 | 0x10000 | 0x40000
"""CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM."""
_WAIT_ANY_KIND = 0x40000000  # __WALL
_NO_CORE = 1
"""With this limit the kernel dumps no core, also into no pipe (fs/coredump.c); with 0 it would."""


@contextlib.contextmanager
def short_lived(maker: BuildProcess, flags: int) -> Iterator[BuildProcess | None]:
    """A child that shares with its maker what the flags of clone(2) say, and ends as if it never was.

    None where the limit of processes is reached.
    """
    lib.zt_pod_expect_vpid(maker.handle, 0)
    program = Program()
    made = program.call("clone", flags, 0, 0, 0, 0, may_fail=True)
    rpid = maker.run(program)[made]
    if rpid < 0:
        yield None
        return
    child = BuildProcess(maker.handle, Vpid(0), Rpid(rpid))
    try:
        yield child
    finally:
        end, reap = Program(), Program()
        end.call("exit_group", 0, may_fail=True)
        child.run(end)
        reap.call("wait4", rpid, 0, _WAIT_ANY_KIND, 0)
        maker.run(reap)


@contextlib.contextmanager
def short_lived_thread(process: BuildProcess) -> Iterator[Rpid]:
    """One more thread of the process, which ends. Raises OSError."""
    lib.zt_pod_expect_vpid(process.handle, 0)
    program, end = Program(), Program()
    made = program.call("clone", _THREAD, 0, 0, 0, 0, may_fail=True)
    rtid = process.run(program)[made]
    if rtid < 0:
        raise OSError(-rtid, os.strerror(-rtid))
    try:
        yield Rpid(rtid)
    finally:
        end.call("exit", 0, may_fail=True)
        Thread(process.handle, rtid, 0).run(end)


def end_as(status: int, process: BuildProcess, build: Build) -> None:
    """End it so that waitpid(2) tells `status`, without a trace of its own: no core."""
    if os.WIFSIGNALED(status):
        # Of another user's, whose limit we may not change: one whose ids were changed dumps no core.
        with contextlib.suppress(PermissionError):
            _, hard = resource.prlimit(process.rpid, resource.RLIMIT_CORE)
            limit = _NO_CORE if hard else 0
            resource.prlimit(process.rpid, resource.RLIMIT_CORE, (limit, limit))
        build.end(process.rpid, os.WTERMSIG(status))
    else:
        program = Program()
        program.call("exit_group", os.WEXITSTATUS(status), may_fail=True)
        process.run(program)

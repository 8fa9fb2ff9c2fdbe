"""Ending a process that was only made to have ended."""

from __future__ import annotations

import contextlib
import os
import resource
from typing import TYPE_CHECKING

from ...linux.program import Program

if TYPE_CHECKING:
    from ...view.build import Build, BuildProcess

_NO_CORE = 1
"""With this limit the kernel dumps no core, also into no pipe (fs/coredump.c); with 0 it would."""


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

"""System calls of which the kernel keeps the caller's ids, made as who has made them once.

At a restore root's processes are root's until the last moment. For such a call one becomes somebody
else in a program, effective ids and groups, and itself again. For files it stays root.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence

from ...linux.program import Program

_AS_IT_IS = -1


@contextlib.contextmanager
def acting(program: Program, uid: int, gid: int, groups: Sequence[int] | None) -> Iterator[None]:
    """Rows within the block are run so; `groups` is None for the supervisor's own ids."""
    if groups is None:
        yield
        return
    _set_groups(program, groups)
    program.call("setresgid", _AS_IT_IS, gid, _AS_IT_IS)
    program.call("setresuid", _AS_IT_IS, uid, _AS_IT_IS)
    program.call("setfsuid", os.geteuid())
    yield
    program.call("setresuid", _AS_IT_IS, os.geteuid(), _AS_IT_IS)
    program.call("setresgid", _AS_IT_IS, os.getegid(), _AS_IT_IS)
    _set_groups(program, os.getgroups())


def _set_groups(program: Program, groups: Sequence[int]) -> None:
    program.call("setgroups", len(groups), program.data(struct.pack(f"<{len(groups)}I", *groups)))

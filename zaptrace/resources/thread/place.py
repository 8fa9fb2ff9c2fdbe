"""Where a thread is that shares its working directory and file mode mask with no other: it was made
without CLONE_FS, or has left them by unshare(2). A file server has one such for each of its clients.

Such a thread is made without CLONE_FS again. Refused: a directory that is not at its path any more, and
two threads of a process that share these with each other but not with the first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ...errors import RestoreError, UnsupportedResource
from ...linux import outside, procfs
from ...linux.program import Program
from ...shapes import Path, Range
from ..common.inode import name_of

if TYPE_CHECKING:
    from ...view.frozen import FrozenThread


@dataclass(frozen=True)
class Place:
    directory: Path
    umask: Annotated[int, Range(0, 0o777)]


def own_place(thread: FrozenThread) -> Place | None:
    """None if it has that in common with its process. The room process refuses what is shared oddly."""
    process = thread.process
    if thread.directory == process.leader.directory:
        return None
    proc = f"/proc/{process.rpid}/task/{thread.rtid}"
    shown = os.readlink(os.fsencode(f"{proc}/cwd"))
    path = name_of(outside.stat(f"{proc}/cwd"), shown)
    root = os.readlink(f"{proc}/root")
    if path is None or not outside.can(path, os.X_OK) or root != os.readlink("/proc/self/root"):
        raise UnsupportedResource(
            f"cannot checkpoint process {process.vpid} ({process.comm}): the working directory of its "
            f"thread {thread.vtid} cannot be entered again",
            needed="the directory at its path, permission to enter it, and the host's root directory",
            found=f"{os.fsdecode(shown)}, below {root}",
            do="give the directory its name back, or let the thread leave it",
        )
    return Place(path, int(procfs.status(thread.rtid)["Umask"], 8))


def claim(place: Place, where: str) -> None:
    """Raises RestoreError if it could not be entered."""
    if not outside.is_directory(place.directory):
        raise RestoreError(
            f"cannot restore {where}",
            stage="CLAIM",
            needed=f"its working directory, {os.fsdecode(place.directory)}",
            found="is not there",
            do="make that directory on this host",
            changed="nothing",
        )


def enter(program: Program, place: Place) -> None:
    program.call("chdir", program.string(place.directory))
    program.call("umask", place.umask)

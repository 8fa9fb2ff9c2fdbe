"""Files that a pod wrote to and that are longer than when its image was made.

What it wrote since, it writes again when it goes on from the image: rows of a table are there twice.
Nobody but the user knows whether that is so, or whether somebody else wrote. So such files are named,
and left as they are, or cut back to what they were: just before the pod runs, when nothing else can
fail any more, and all of them or none.

Only files that the pod had open for writing when the image was made are known of.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass

from ..errors import RestoreError
from ..linux import outside, scratch
from ..resources import regular_file
from .contents import Contents

_BITE = 1 << 20


@dataclass(frozen=True)
class Grown:
    """A file that is longer than it was."""

    path: str
    was: int
    size: int

    def __str__(self) -> str:
        by = self.size - self.was
        return f"{self.path} grew by {by} byte{'s' if by > 1 else ''} since the image was made"


def grown(contents: Contents, but: Collection[bytes] = ()) -> list[Grown]:
    """Those of a pod, by their paths; not those at the paths `but`, which may be any files."""
    found = {}
    for state in contents.states(regular_file.NAME):
        writes = state.flags & os.O_ACCMODE != os.O_RDONLY and not state.flags & os.O_PATH
        named = stat.S_ISREG(state.mode) and state.nameless is None and not state.vids
        if not writes or not named or state.path in but:
            continue
        with contextlib.suppress(OSError):  # the restore says so
            there = outside.stat(state.path)
            if stat.S_ISREG(there.st_mode) and there.st_size > state.size:
                path = os.fsdecode(state.path)
                found[path] = Grown(path, state.size, there.st_size)
    return [found[path] for path in sorted(found)]


def cut_back(files: Collection[Grown]) -> None:
    """Cut them to what they were. RestoreError, and they are as they are, when one cannot be."""
    at = ""
    with contextlib.ExitStack() as stack:
        try:
            ready: list[tuple[Grown, int]] = []
            for file in files:
                at = file.path
                fd = os.open(file.path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
                stack.callback(os.close, fd)
                ready.append((file, fd))
            kept = stack.enter_context(scratch.directory("zaptrace-cut")) if ready else ""
            with contextlib.ExitStack() as undo:  # while the descriptors are there
                for number, (file, fd) in enumerate(ready):
                    at = file.path
                    tail = os.open(f"{kept}/{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                    stack.callback(os.close, tail)
                    _copy(fd, file.was, tail, 0)
                    undo.callback(_copy, tail, 0, fd, file.was)
                    os.ftruncate(fd, file.was)
                undo.pop_all()
        except OSError as error:
            raise RestoreError(
                f"cannot cut back {at}",
                needed="that it can be written, and room for what is cut off until all are cut",
                found=error.strerror or str(error),
                do="see to that, or restore without --truncate-files",
            ) from error


def _copy(source: int, start: int, to: int, at: int) -> None:
    """From `start` to the end."""
    while data := os.pread(source, _BITE, start):
        start += len(data)
        view = memoryview(data)
        while view:
            done = os.pwrite(to, view, at)
            at += done
            view = view[done:]

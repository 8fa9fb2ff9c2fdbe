"""Files of O_TMPFILE that linkat(2) gives no name (any more).

They were opened with O_EXCL, or had a name once. The kernel shows neither to anybody, so the lower half
notes both (csrc/resources/regular_file.c), by what tells a file from every other one of the host.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from ...linux.native import lib
from .sameness import birth_ns

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenPod

_ROOM = "regular_file"
_KEY = struct.Struct("=QIIq")
"""Inode, major and minor number of its device, time of birth."""


def is_note(key: bytes, value: bytes) -> bool:
    return len(key) == _KEY.size and not value


def is_noted(pod: FrozenPod, fd: int) -> bool:
    return _key(fd) in pod.store(_ROOM)


def note(build: Build, fd: int) -> None:
    key = _key(fd)
    if lib.zt_store_put(lib.zt_pod_store(build.handle), _ROOM.encode(), key, len(key), b"", 0):
        raise MemoryError


def forget_former(build: Build) -> None:
    """Those that were noted where the pod was before."""
    for key in build.store(_ROOM):
        lib.zt_store_remove(lib.zt_pod_store(build.handle), _ROOM.encode(), key, len(key))


def _key(fd: int) -> bytes:
    found = os.fstat(fd)
    born = birth_ns(b"/proc/self/fd/%d" % fd) or 0
    return _KEY.pack(found.st_ino, os.major(found.st_dev), os.minor(found.st_dev), born)

"""Two directories of one file system change their names, in one step where that can be.

File systems that cannot (NFS, some network ones) have both without the name for a moment.
"""

from __future__ import annotations

import ctypes
import errno
import os

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EPERM)


def exchange(one: str, other: str) -> None:
    """`one` is where `other` was, and the other way round. OSError with both where they were."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if not libc.renameat2(
        _AT_FDCWD, paths[0], _AT_FDCWD, paths[1], ctypes.c_uint(_RENAME_EXCHANGE)
    ):
        return
    if (error := ctypes.get_errno()) not in _CANNOT:
        raise OSError(error, os.strerror(error), other)
    aside = f"{one}.aside"
    os.rename(other, aside)
    try:
        os.rename(one, other)
    except OSError:
        os.rename(aside, other)
        raise
    os.rename(aside, one)

"""renameat2(2), which the os module of Python 3.11 lacks, and what is made of it."""

from __future__ import annotations

import ctypes
import errno
import os

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
_AT_FDCWD = -100
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EPERM)

_libc = ctypes.CDLL(None, use_errno=True)


def rename(directory: int, old: bytes, new: bytes, flags: int) -> None:
    """renameat2(2) within one directory; paths from the root may be anywhere."""
    if _libc.renameat2(directory, old, directory, new, ctypes.c_uint(flags)) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(new))


def exchange(one: str, other: str) -> None:
    """Two directories of one file system change their names, in one step where that can be.

    File systems that cannot (NFS, some network ones) have both without the name for a moment. OSError
    with both where they were.
    """
    try:
        rename(_AT_FDCWD, os.fsencode(one), os.fsencode(other), RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    else:
        return
    aside = f"{one}.aside"
    os.rename(other, aside)
    try:
        os.rename(one, other)
    except OSError:
        os.rename(aside, other)
        raise
    os.rename(aside, one)

"""The few C library calls that the os module of Python 3.11 lacks."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

libc = ctypes.CDLL(None, use_errno=True)
libc.tee.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint]
libc.tee.restype = ctypes.c_ssize_t
libc.signalfd.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
libc.timerfd_create.argtypes = [ctypes.c_int, ctypes.c_int]
libc.timerfd_settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p]
libc.timerfd_gettime.argtypes = [ctypes.c_int, ctypes.c_char_p]

_CLONE_FS, _CLONE_FILES = 0x200, 0x400
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


def checked(result: int) -> int:
    """`result`, or OSError with the errno of the call that gave -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def rename(directory: int, old: bytes, new: bytes, flags: int) -> None:
    """renameat2(2) within one directory."""
    result = libc.renameat2(directory, old, directory, new, ctypes.c_uint(flags))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(new))


def apart(work: Callable[[], T]) -> T:
    """Run `work` in a thread with an fd table and a working directory of its own.

    It sees copies of all our fds; what it opens, closes or moves there is gone when it ends.
    Raises PermissionError where a container does not allow unshare(2).
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def body() -> None:
        try:
            checked(libc.unshare(_CLONE_FILES | _CLONE_FS))
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, name="apart")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]

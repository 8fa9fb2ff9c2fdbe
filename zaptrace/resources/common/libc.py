"""The few C library calls that the os module of Python 3.11 lacks."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import pickle
from collections.abc import Callable
from typing import NoReturn, TypeVar

T = TypeVar("T")

libc = ctypes.CDLL(None, use_errno=True)
libc.tee.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint]
libc.tee.restype = ctypes.c_ssize_t
libc.signalfd.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
libc.timerfd_create.argtypes = [ctypes.c_int, ctypes.c_int]
libc.timerfd_settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p]
libc.timerfd_gettime.argtypes = [ctypes.c_int, ctypes.c_char_p]

_MOST_TOLD = 1 << 24


def checked(result: int) -> int:
    """`result`, or OSError with the errno of the call that gave -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def apart(work: Callable[[], T]) -> T:
    """Run `work` in a process of its own, with copies of all our fds, and a working directory.

    What it opens, closes or moves there is gone when it ends; what it gives back, or raises, has to
    fit into a pickle. A thread that leaves our table would do, but unshare(2) is denied in
    containers; to fork is not.
    """
    with mmap.mmap(-1, _MOST_TOLD) as told:
        child = os.fork()
        if not child:
            _tell(work, told)
        os.waitpid(child, 0)
        if not told[0]:
            raise OSError(errno.ECHILD, "a child of ours was ended")
        result: T | BaseException = pickle.load(told)
    if isinstance(result, BaseException):
        raise result
    return result


def _tell(work: Callable[[], object], told: mmap.mmap) -> NoReturn:
    """The child. By memory, as any descriptor may be one that `work` puts another into."""
    try:
        try:
            result = work()
        except BaseException as error:
            result = error
        told.write(pickle.dumps(result))
    finally:
        os._exit(0)

"""Which open file a watch is of: /proc tells its inode, and the number that it had.

kcmp(2) tells the file. Where that is denied (the seccomp profile of a container), it is the file that
cannot be added once more under that number.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import struct
from typing import TYPE_CHECKING

from ...errors import UnsupportedResource
from ..common.file import unsupported
from ..common.libc import apart, checked, libc
from .control import ADD, DELETE, EVENT, under

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...view.frozen import FrozenFile

_SYS_KCMP = 312
_KCMP_EPOLL_TFD = 7


def matching(
    epoll: FrozenFile, found: re.Match[str], number: int, nth: int, nth_alike: int
) -> Callable[[FrozenFile], bool]:
    """Is a file what the `nth` watch with this number is of, the `nth_alike` of those that look alike?"""

    def matches(candidate: FrozenFile) -> bool:
        alike = _looks_alike(candidate, found)
        return alike and _is_target(candidate, epoll, number, nth, nth_alike)

    return matches


def _looks_alike(candidate: FrozenFile, found: re.Match[str]) -> bool:
    if found["ino"] is None:  # before Linux 4.13
        return True
    dev = candidate.stat.st_dev
    inside = os.major(dev) << 20 | os.minor(dev)  # dev_t as the kernel has it
    return (candidate.stat.st_ino, inside) == (int(found["ino"], 16), int(found["sdev"], 16))


def _is_target(
    candidate: FrozenFile, epoll: FrozenFile, number: int, nth: int, nth_alike: int
) -> bool:
    """Ask kcmp(2); where it is not allowed, an epoll_ctl(2) of what looks alike."""
    slot = struct.pack("=III", epoll.local, number, nth)
    us = os.getpid()
    differs: int = libc.syscall(_SYS_KCMP, us, us, _KCMP_EPOLL_TFD, candidate.local, slot)
    if differs >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        return differs == 0
    if nth_alike:
        raise _cannot_tell(epoll, f"two files that it knows as fd {number}")
    if stat.S_ISSOCK(candidate.stat.st_mode):  # an inode of its own
        return True
    try:
        return apart(lambda: _is_watched(epoll.local, candidate.local, number))
    except OSError as error:
        raise _cannot_tell(epoll, f"fd {number} ({error.strerror})") from None


def _is_watched(epoll: int, file: int, number: int) -> bool:
    """In an fd table apart. A watch that there was not is gone again before anybody could see it."""
    epoll = under(number, file, epoll)
    watch = ctypes.create_string_buffer(EVENT.pack(0, 0))
    try:
        checked(libc.epoll_ctl(epoll, ADD, number, watch))
    except OSError as error:
        if error.errno == errno.EEXIST:
            return True
        if error.errno in (errno.EPERM, errno.ELOOP, errno.EINVAL):
            return False  # nothing that one can watch, or not from there
        raise
    checked(libc.epoll_ctl(epoll, DELETE, number, watch))
    return False


def _cannot_tell(file: FrozenFile, what: str) -> UnsupportedResource:
    return unsupported(
        file,
        f"watches {what}, and it cannot be told which",
        needed="kcmp(2), or one file for each number, and as many numbers of our own",
        found="kcmp is denied",
        do="allow kcmp in the container's seccomp profile, or let the program watch what it has open",
    )

"""Which open file a watch is of: /proc tells its inode, and the number that it had.

kcmp(2) tells the file. Where that is denied (the seccomp profile of a container), it is the file that
cannot be added once more under that number. Where several cannot, /proc tells which is which: it lists
the watches of one file together, by number (fs/eventpoll.c, ep_cmp_ffd), so one more of that file, under
a number that nothing is watched by, stands right behind the one that is looked for, or right before.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import re
import resource
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
    epoll: FrozenFile, found: re.Match[str], number: int, nth: int
) -> Callable[[FrozenFile], bool]:
    """Is a file what the `nth` watch with this number is of?"""

    def matches(candidate: FrozenFile) -> bool:
        return _looks_alike(candidate, found) and _is_target(candidate, epoll, number, nth)

    return matches


def _looks_alike(candidate: FrozenFile, found: re.Match[str]) -> bool:
    if found["ino"] is None:  # before Linux 4.13
        return True
    dev = candidate.stat.st_dev
    inside = os.major(dev) << 20 | os.minor(dev)  # dev_t as the kernel has it
    return (candidate.stat.st_ino, inside) == (int(found["ino"], 16), int(found["sdev"], 16))


def _is_target(candidate: FrozenFile, epoll: FrozenFile, number: int, nth: int) -> bool:
    """Ask kcmp(2); where it is not allowed, an epoll_ctl(2) of what looks alike."""
    slot = struct.pack("=III", epoll.local, number, nth)
    us = os.getpid()
    differs: int = libc.syscall(_SYS_KCMP, us, us, _KCMP_EPOLL_TFD, candidate.local, slot)
    if differs >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        return differs == 0
    if stat.S_ISSOCK(candidate.stat.st_mode):  # an inode of its own
        return True
    try:
        return apart(lambda: _is_nth(epoll.local, candidate.local, number, nth))
    except OSError as error:
        raise _cannot_tell(epoll, f"fd {number} ({error.strerror})") from None


def _is_nth(epoll: int, file: int, number: int, nth: int) -> bool:
    """In an fd table apart. What is watched meanwhile is gone again before anybody could see it."""
    epoll = under(number, file, epoll)
    if _watched_by(epoll, number, lambda: None):
        return False
    numbers = _numbers(epoll)
    if numbers.count(number) == 1:
        return True
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    mark = next(
        n
        for n in itertools.chain(range(number + 1, hard), range(number))
        if n not in (*numbers, epoll)
    )
    under(mark, file, epoll)
    marked: list[int] = []
    _watched_by(epoll, mark, lambda: marked.extend(_numbers(epoll)))
    before = marked[: marked.index(mark)].count(number)
    return before == nth + (mark > number)


def _watched_by(epoll: int, number: int, look: Callable[[], None]) -> bool:
    """Have that file of ours watched while `look` looks. False: it is already."""
    watch = ctypes.create_string_buffer(EVENT.pack(0, 0))
    try:
        checked(libc.epoll_ctl(epoll, ADD, number, watch))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ELOOP, errno.EINVAL):
            return True  # nothing that one can watch, or not from there
        if error.errno == errno.EEXIST:
            return False
        raise
    try:
        look()
    finally:
        checked(libc.epoll_ctl(epoll, DELETE, number, watch))
    return True


def _numbers(epoll: int) -> list[int]:
    """Of all that is watched, in the order in which kcmp(2) counts, too."""
    with open(f"/proc/self/fdinfo/{epoll}") as lines:
        return [int(line.split()[1]) for line in lines if line.startswith("tfd:")]


def _cannot_tell(file: FrozenFile, what: str) -> UnsupportedResource:
    return unsupported(
        file,
        f"watches {what}, and it cannot be told which",
        needed="kcmp(2), or as many numbers, and watches, of our own",
        found="kcmp is denied",
        do="allow kcmp in the container's seccomp profile, or let the program watch what it has open",
    )

"""sched_getattr(2) and sched_setattr(2), which no library of Python's has."""

from __future__ import annotations

import ctypes
import os
import struct

from ...linux.program import number_of
from .libc import checked, libc

_ATTR = struct.Struct("=IIQiIQQQII")  # struct sched_attr, version 1
ATTRIBUTES = _ATTR.size
_UTIL_CLAMP = 0x20 | 0x40  # SCHED_FLAG_UTIL_CLAMP_MIN, _MAX
_NO_CLAMPS = (0, 1024)


def sched_getattr(rtid: int) -> bytes:
    """How a thread is scheduled, as the kernel's struct. Raises OSError."""
    raw = ctypes.create_string_buffer(_ATTR.size)
    checked(libc.syscall(number_of("sched_getattr"), rtid, raw, _ATTR.size, 0))
    return raw.raw


def sched_setattr(rtid: int, attributes: bytes) -> None:
    """Schedule it so. Raises PermissionError where a limit of this host forbids it."""
    fields = list(_ATTR.unpack(attributes))
    if tuple(fields[-2:]) not in (_NO_CLAMPS, (0, 0)):
        fields[2] |= _UTIL_CLAMP
    checked(libc.syscall(number_of("sched_setattr"), rtid, _ATTR.pack(*fields), 0))
    if (
        os.getpriority(os.PRIO_PROCESS, rtid) != fields[3]
    ):  # SCHED_IDLE keeps it, but does not take it
        os.setpriority(os.PRIO_PROCESS, rtid, fields[3])


def describe_sched(attributes: bytes) -> str:
    """For messages."""
    _size, policy, _flags, nice, priority, *_ = _ATTR.unpack(attributes)
    return f"policy {policy}, priority {priority}, nice {nice}"

"""Where addresses of programs end."""

from __future__ import annotations

import ctypes
import mmap as mm
from functools import cache

TASK_SIZE = (1 << 47) - mm.PAGESIZE
"""With page tables of four levels; with five as well, for a program that does not ask for more."""
HIGHEST = (1 << 56) - mm.PAGESIZE
"""With five levels."""

_MAP_FIXED_NOREPLACE = 0x100000
_FAILED = (1 << 64) - 1


@cache
def end() -> int:
    """Here, for who asks: found by asking."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_uint64
    place = ctypes.c_void_p(TASK_SIZE + mm.PAGESIZE)
    flags = mm.MAP_PRIVATE | mm.MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
    got = libc.mmap(place, ctypes.c_size_t(mm.PAGESIZE), 0, flags, -1, ctypes.c_long(0))
    if got == _FAILED:
        return TASK_SIZE
    libc.munmap(ctypes.c_void_p(got), ctypes.c_size_t(mm.PAGESIZE))
    return HIGHEST if got == place.value else TASK_SIZE

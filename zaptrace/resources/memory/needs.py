"""What mappings ask of a kernel that not every kernel can, each thing found out by trying it here."""

from __future__ import annotations

import ctypes
import mmap as mm
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from ...linux import addresses
from .mappings import PAGE, Mapping

_MADV_GUARD_INSTALL, _MAP_DROPPABLE = 102, 0x8
_MSEAL = 462
_FAILED = (1 << 64) - 1


@dataclass(frozen=True)
class Need:
    what: str
    wanted: Callable[[Mapping], bool]
    is_there: Callable[[], bool]


def missing(mappings: Iterable[Mapping]) -> tuple[Mapping, str] | None:
    """The first mapping that cannot be here, and what it needs."""
    for m in mappings:
        for need in _NEEDS:
            if need.wanted(m) and not need.is_there():
                return m, need.what
    return None


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_uint64
    return libc


def _page(libc: ctypes.CDLL, flags: int) -> int:
    return int(libc.mmap(None, ctypes.c_size_t(PAGE), mm.PROT_READ, flags, -1, ctypes.c_long(0)))


@cache
def _guards() -> bool:
    libc = _libc()
    page = _page(libc, mm.MAP_PRIVATE | mm.MAP_ANONYMOUS)
    place, size = ctypes.c_void_p(page), ctypes.c_size_t(PAGE)
    done = libc.madvise(place, size, _MADV_GUARD_INSTALL)
    libc.munmap(place, size)
    return bool(done == 0)


@cache
def _droppable() -> bool:
    libc = _libc()
    page = _page(libc, _MAP_DROPPABLE | mm.MAP_ANONYMOUS)
    if page == _FAILED:
        return False
    libc.munmap(ctypes.c_void_p(page), ctypes.c_size_t(PAGE))
    return True


@cache
def _seals() -> bool:
    """Nothing is sealed by asking for no bytes of it."""
    return bool(_libc().syscall(_MSEAL, None, ctypes.c_size_t(0), ctypes.c_long(0)) == 0)


_NEEDS = (
    Need(
        "addresses of 56 bits (page tables of five levels: la57 in /proc/cpuinfo)",
        lambda m: m.end > addresses.TASK_SIZE,
        lambda: addresses.end() > addresses.TASK_SIZE,
    ),
    Need(
        "guard pages (MADV_GUARD_INSTALL, Linux 6.13)", lambda m: bool(m.guards), lambda: _guards()
    ),
    Need("sealed memory (mseal(2), Linux 6.10)", lambda m: m.has("sl"), lambda: _seals()),
    Need(
        "droppable memory (MAP_DROPPABLE, Linux 6.11)", lambda m: m.has("dp"), lambda: _droppable()
    ),
)

"""Huge pages (hugetlb): a host has a pool of them, and a mapping of them fails where that has not enough.

Nothing is written into a file of them but through a mapping. A rehearsal does with ordinary pages: the
frozen pod has its own still, and seldom does a host have twice as many.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ...errors import RestoreError
from ...image.writebehind import BITE
from ...shapes import OneOf
from ...view.build import Stage

if TYPE_CHECKING:
    from ...view.build import Build

PageSize = Annotated[int, OneOf(0, *(1 << bits for bits in range(14, 35)))]
"""Of huge pages; 0 is of ordinary ones."""

_MFD_HUGETLB, _MAP_HUGETLB, _SHIFT = 0x4, 0x40000, 26
_POOLS = Path("/sys/kernel/mm/hugepages")


def flags(page: int, build: Build) -> int:
    """Of mmap(2)."""
    return 0 if not page or build.rehearsal else _MAP_HUGETLB | _log2(page) << _SHIFT


def memfd(name: str, flags: int, page: int, build: Build) -> int:
    if page and not build.rehearsal:
        flags |= _MFD_HUGETLB | _log2(page) << _SHIFT
    return os.memfd_create(name, flags)


def writer(fd: int, page: int) -> Callable[[bytes, int], object]:
    """What writes bytes at an offset."""
    if not page:
        return lambda data, at: os.pwrite(fd, data, at)

    def write(data: bytes, at: int) -> None:
        first = at - at % page
        size = at + len(data) - first
        with mmap.mmap(fd, size + -size % page, offset=first) as there:
            there[at - first : at - first + len(data)] = data

    return write


def load(build: Build, part: str, runs: list[list[int]], size: int, fd: int, page: int) -> None:
    """What content.save_by_reading wrote."""
    os.ftruncate(fd, size)
    write = writer(fd, page)
    with open(build.image.path(part), "rb") as source:
        for offset, length in runs:
            end = offset + build.needed(length)
            for at in range(offset, end, BITE):
                write(source.read(min(BITE, end - at)), at)
            source.seek(length - (end - offset), os.SEEK_CUR)


def claim(wanted: Mapping[int, int], build: Build) -> None:
    """Raises RestoreError unless so many bytes of pages of each size are to be had."""
    if build.rehearsal:
        return
    for page, size in wanted.items():
        if size // page > (free := available(page)):
            name = f"hugepages-{page >> 10}kB"
            raise RestoreError(
                "cannot restore the huge pages of the pod",
                stage=Stage.CLAIM.name,
                resource="memory",
                needed=f"{size // page} free huge pages of {page >> 10} KiB",
                found=f"{free} of them",
                do=f"raise {_POOLS / name}/nr_hugepages on this host (as root)",
                changed="nothing",
            )


def available(page: int) -> int:
    """Huge pages of a size that nobody has, nor was promised; those that may be made, too."""
    pool = _POOLS / f"hugepages-{page >> 10}kB"
    if not pool.is_dir():
        return 0
    free, promised, more, made = (
        int((pool / name).read_text())
        for name in (
            "free_hugepages",
            "resv_hugepages",
            "nr_overcommit_hugepages",
            "surplus_hugepages",
        )
    )
    if promised >= 1 << 63:  # the kernel has counted below nothing
        promised = 0
    return max(0, free - promised) + max(0, more - made)


def _log2(page: int) -> int:
    return page.bit_length() - 1

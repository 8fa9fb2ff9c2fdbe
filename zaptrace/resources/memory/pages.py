"""Pages of a frozen process: which there are, and their bytes on the way into an image.

Reading changes nothing. process_vm_readv pins what it reads, and to pin a page that relatives share
by copy-on-write the kernel copies it: so those are read by /proc/PID/mem, and only pages that are
there are asked for, as reading makes a page where there was none.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ...errors import UnsupportedResource
from ...image.sink import Writer
from ...image.writebehind import BITE, WriteBehind
from ...linux.native import check, ffi, lib, new_error
from ...view.frozen import FrozenProcess
from .runs import Run

Piece = tuple[int, int, int]
"""Start, end, and a kind: lib.ZT_RUN_HELD, ZT_RUN_OFTEN or ZT_RUN_GUARD."""

_RUNS = 1024


class Pages:
    """The page tables and the memory of one process, to be looked at."""

    def __init__(self, process: FrozenProcess) -> None:
        self.process = process
        self._regions = ffi.new("zt_page_run[]", _RUNS)
        self._next = ffi.new("uint64_t *")
        self.pagemap = os.open(f"{process.proc}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.mem = os.open(f"{process.proc}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self.pagemap)
            raise

    def close(self) -> None:
        os.close(self.pagemap)
        os.close(self.mem)

    def scan(self, start: int, end: int, what: int) -> list[Piece]:
        """Pages of a range, and guard pages: `what` is one of lib.ZT_PAGES_*."""
        err = new_error()

        def step(at: int) -> int:
            found = lib.zt_mem_pages(
                self.pagemap, at, end, what, self._regions, _RUNS, self._next, err
            )
            return check(found, err)

        return self._collect(start, end, step)

    def shared_or_not(self, start: int, end: int) -> list[Piece]:
        """A range of pages that are all there, in ZT_RUN_OFTEN (perhaps a relative's too) and not."""
        err = new_error()

        def step(at: int) -> int:
            found = lib.zt_mem_often(self.pagemap, at, end, self._regions, _RUNS, self._next, err)
            return check(found, err)

        return self._collect(start, end, step)

    def equal(self, other: Pages, start: int, end: int) -> list[Piece]:
        """Pages that are the same at the same address in `other`."""

        def step(at: int) -> int:
            return lib.zt_mem_equal(self.mem, other.mem, at, end, self._regions, _RUNS, self._next)

        return self._collect(start, end, step)

    def hashes(self, start: int, end: int) -> list[int]:
        """A hash for every page; empty when one cannot be read."""
        found = ffi.new("uint64_t[]", (end - start) >> 12)
        return list(found) if lib.zt_mem_hashes(self.mem, start, end, found) == 0 else []

    def readable(self, address: int) -> bool:
        """Whether the page is there to be read, whatever its protection."""
        try:
            return len(os.pread(self.mem, 1, address)) == 1
        except OSError:
            return False

    def _collect(self, start: int, end: int, step: Callable[[int], int]) -> list[Piece]:
        found: list[Piece] = []
        while start < end:
            count = step(start)
            found += [(run.start, run.end, run.kind) for run in self._regions[0:count]]
            start = self._next[0]
        return found

    def gather(self, pieces: list[Piece], into: memoryview) -> None:
        """The bytes of all pieces, one after the other."""
        runs = ffi.new("zt_page_run[]", len(pieces))
        for run, piece in zip(runs, pieces, strict=True):
            run.start, run.end, run.kind = piece
        view = ffi.from_buffer(into, require_writable=True)
        read = lib.zt_mem_gather(self.process.lives_in, self.mem, runs, len(pieces), view)
        if read < len(pieces):
            start, end, _kind = pieces[read]
            raise unreadable(self.process, start, end)


def unreadable(process: FrozenProcess, start: int, end: int) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot checkpoint process {process.vpid} ({process.comm}): "
        f"its memory at {start:#x} cannot be read",
        needed="every page that it holds",
        found=f"pages that are there and cannot be read, in {start:#x}-{end:#x}; guard pages are such, "
        "and the kernel tells of them since Linux 6.15",
        do="report this, with the line of /proc/PID/smaps for that address",
    )


class Saver:
    """Saves pages of one process into its part.

    While one bite is hashed and written by a thread beside, the next is read: two buffers, and at
    most one write under way. Small pieces are gathered until they fill a bite.
    """

    def __init__(self, pages: Pages, writer: Writer, pipe: WriteBehind) -> None:
        self._pages = pages
        self._writer = writer
        self._pipe = pipe
        self._owner = pages.process.vpid
        self._offset = 0
        self._waiting: list[Piece] = []
        self._size = 0

    def save(self, piece: Piece) -> Run:
        """Where it will be in the part; it is there after `finish`."""
        start, end, kind = piece
        run = Run(start, end, self._owner, self._offset)
        self._offset += end - start
        while start < end:
            stop = min(end, start + BITE - self._size)
            self._waiting.append((start, stop, kind))
            self._size += stop - start
            start = stop
            if self._size == BITE:
                self._flush()
        return run

    def _flush(self) -> None:
        if not self._waiting:
            return
        bite = self._pipe.buffer(self._size)
        self._pages.gather(self._waiting, bite)
        self._pipe.write(self._writer.write, bite)
        self._waiting, self._size = [], 0

    def finish(self) -> None:
        self._flush()
        self._pipe.wait()

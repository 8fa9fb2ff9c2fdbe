"""Pages of a frozen process on their way into an image."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...image.sink import Writer
from ...image.writebehind import BITE, WriteBehind
from ...linux import procfs
from ...linux.native import NativeError, check, ffi, lib, new_error, read_memory_into
from ...view.frozen import FrozenProcess

_RUNS = 1024


class Pages:
    """Saves pages of one process into its part.

    While one bite is hashed and written by a thread beside, the next is read: two buffers, and at
    most one write under way.
    """

    def __init__(
        self, process: FrozenProcess, pagemap: int, writer: Writer, pipe: WriteBehind
    ) -> None:
        self.process = process
        self.pagemap = pagemap
        self.writer = writer
        self.pipe = pipe
        self.offset = 0
        self.regions = ffi.new("zt_page_run[]", _RUNS)
        self.next = ffi.new("uint64_t *")
        self._mem: int | None = None

    def save(self, m: procfs.Map, *, private_file: bool) -> list[list[int]]:
        """The pages that hold something of their own."""
        return [self._save_run(*run) for run in self._runs(m, private_file)]

    def save_all(self, m: procfs.Map) -> list[list[int]]:
        """Every page: the file behind them is gone."""
        return [self._save_run(m.start, m.end)]

    def _runs(self, m: procfs.Map, private_file: bool) -> Iterator[tuple[int, int]]:
        at = m.start
        err = new_error()
        while at < m.end:
            count = check(
                lib.zt_mem_pages(
                    self.pagemap,
                    at,
                    m.end,
                    private_file,
                    self.regions,
                    _RUNS,
                    self.next,
                    err,
                ),
                err,
            )
            found = [(run.start, run.end) for run in self.regions[0:count]]
            at = self.next[0]
            yield from found

    def _save_run(self, start: int, end: int) -> list[int]:
        first = self.offset
        for at in range(start, end, BITE):
            bite = self.pipe.buffer(min(BITE, end - at))
            self._read_into(at, bite)
            self.pipe.write(self.writer.write, bite)
        self.offset += end - start
        return [start, end, first]

    def _read_into(self, at: int, bite: memoryview) -> None:
        try:
            read_memory_into(self.process.rpid, at, bite)
        except NativeError:
            # Pages without permission to read: the tracer may all the same (/proc/PID/mem, proc(5)).
            if self._mem is None:
                self._mem = os.open(f"{self.process.proc}/mem", os.O_RDONLY | os.O_CLOEXEC)
            if os.preadv(self._mem, [bite], at) != len(bite):
                raise

    def close(self) -> None:
        self.pipe.wait()
        if self._mem is not None:
            os.close(self._mem)

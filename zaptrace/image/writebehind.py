"""Large contents on their way: while one bite is hashed or written, the next is read."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

BITE = 1 << 20
"""Bytes that are hashed, then written, at a time: small enough to be in the cache for both."""


class WriteBehind:
    """Two buffers in turn: one is filled while the other is written. Small ones are not worth it."""

    _SMALL = 1 << 18

    def __init__(self) -> None:
        self._buffers = [memoryview(b""), memoryview(b"")]
        self._turn = 0
        self._beside = ThreadPoolExecutor(1, "write-behind")
        self._under_way: Future[object] | None = None

    def buffer(self, size: int = BITE) -> memoryview:
        """One to fill, of at most BITE bytes."""
        self._turn ^= 1
        if len(self._buffers[self._turn]) < size:
            self._buffers[self._turn] = memoryview(bytearray(size))
        return self._buffers[self._turn][:size]

    def write(self, write: Callable[[memoryview], object], bite: memoryview) -> None:
        """Have `write(bite)` done beside; the buffer is free again after the next two calls."""
        self.wait()
        if len(bite) <= self._SMALL:
            write(bite)
        else:
            self._under_way = self._beside.submit(write, bite)

    def wait(self) -> None:
        """Until all is written; raises what a write raised."""
        under_way, self._under_way = self._under_way, None
        if under_way:
            under_way.result()

    def close(self) -> None:
        self._beside.shutdown()

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

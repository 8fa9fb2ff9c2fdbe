"""The last bytes of a stream: of a terminal, or of a log."""

from __future__ import annotations

SCROLLBACK = 1 << 20
"""Bytes kept of a terminal."""


class Ring:
    """The last `limit` bytes of a stream, addressed by their offset since its beginning."""

    def __init__(self, limit: int = SCROLLBACK) -> None:
        self.limit = limit
        self.start = 0
        self._data = bytearray()

    @property
    def end(self) -> int:
        """The offset after the newest byte."""
        return self.start + len(self._data)

    def append(self, data: bytes) -> None:
        """Add to the end and let the oldest scroll away."""
        self._data += data
        if len(self._data) > 2 * self.limit:  # trimmed rarely: amortised cost per byte is constant
            self._trim()

    def read(self, at: int, count: int) -> tuple[int, bytes]:
        """Up to `count` bytes from offset `at`, or from the oldest kept: (offset, bytes)."""
        at = min(max(at, self.start), self.end)
        skip = at - self.start
        return at, bytes(self._data[skip : skip + count])

    def tail(self, count: int) -> int:
        """The offset from which at most `count` bytes follow, at a line's beginning if possible."""
        at = max(self.start, self.end - count)
        if at == self.start:
            return at
        newline = self._data.find(b"\n", at - self.start)
        return at if newline < 0 else self.start + newline + 1

    def _trim(self) -> None:
        surplus = len(self._data) - self.limit
        del self._data[:surplus]
        self.start += surplus

"""What a pod wrote to its terminal last, with what it takes to see from it what is on the screen.

Bytes are only kept; who attaches makes a screen of them (zaptrace/screen). What scrolls away takes along
what it had turned on, so that is followed, when there is that much: most pods never write it.
"""

from __future__ import annotations

from .ring import SCROLLBACK, Ring

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from typing import Any

    from ..screen.modes import Modes
    from ..view.scrollback import Scrollback as Carried

_SIZES = 64
_SOON = 4096


class Scrollback(Ring):
    """Belongs to the coordinator thread."""

    def __init__(self, rows: int, cols: int, limit: int = SCROLLBACK) -> None:
        super().__init__(limit)
        self.sizes = [(0, rows, cols)]
        """(since which offset, rows, columns); the first is that at the start of what is kept."""
        self.carried_to = 0
        """What came with an image ends here."""
        self._before: Modes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) now."""
        return self.sizes[-1][1:]

    def resized(self, rows: int, cols: int) -> None:
        """From here on the window has that size."""
        if self.size != (rows, cols):
            self.sizes = [one for one in self.sizes if one[0] < self.end or not one[0]]
            self.sizes.append((self.end, rows, cols))
            del self.sizes[:-_SIZES]

    def facts(self) -> dict[str, Any]:
        """All of it as plain data: before, data, sizes. As view/scrollback.py has it."""
        sizes = [(max(at - self.start, 0), rows, cols) for at, rows, cols in self.sizes]
        return {
            "before": self._before.before() if self._before is not None else b"",
            "data": self.read(self.start, self.end - self.start)[1],
            "sizes": sizes,
        }

    def carried(self) -> Carried:
        """For an image."""
        from ..view.scrollback import Scrollback as Carried
        from ..view.scrollback import Size

        facts = self.facts()
        return Carried(facts["before"], facts["data"], [Size(*one) for one in facts["sizes"]])

    def carry_on(self, carried: Carried) -> None:
        """From an image; nothing was written here yet."""
        self._data += carried.data
        self.sizes = [(size.at, size.rows, size.cols) for size in carried.sizes]
        self.carried_to = self.end
        if carried.before:
            self._follow(carried.before)

    def _trim(self) -> None:
        surplus = self._whole(len(self._data) - self.limit)
        self._follow(bytes(self._data[:surplus]))
        del self._data[:surplus]
        self.start += surplus
        while len(self.sizes) > 1 and self.sizes[1][0] <= self.start:
            del self.sizes[0]

    def _whole(self, surplus: int) -> int:
        """About as many bytes that end with a line, or before a sequence: half a one would be text."""
        found = [self._data.find(one, surplus, surplus + _SOON) for one in (b"\n", b"\x1b")]
        line, sequence = found
        ends = [at for at in (line + 1 if line >= 0 else -1, sequence) if at >= 0]
        return min(ends, default=surplus)

    def _follow(self, data: bytes) -> None:
        from ..screen.modes import Modes

        self._before = self._before or Modes()
        self._before.follow(data)

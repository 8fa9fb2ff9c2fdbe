"""Lines of cells. A line is as long as what was written in it; what follows is blank.

A wide character has its cell and an empty one behind it; combining ones are with theirs.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from functools import lru_cache

HISTORY = 5000
"""Lines that scrolled away, at most."""
_COMBINED = 8


class Line:
    """Characters and their pens, in two lists of the same length."""

    __slots__ = ("pens", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.pens: list[str] = []

    def put(self, at: int, text: str | list[str], pen: str) -> None:
        """Overwrite from the cell `at`; each of `text` takes one cell."""
        end = at + len(text)
        short = at - len(self.text)
        if short > 0:
            self.text += [" "] * short
            self.pens += [""] * short
        elif at < len(self.text):
            self._part(at)
            self._part(end)
        self.text[at:end] = text
        self.pens[at:end] = [pen] * len(text)

    def _part(self, at: int) -> None:
        """No wide character is on both sides of `at`; half of one is none."""
        if 0 < at < len(self.text) and self.text[at] == "":
            self.text[at - 1] = self.text[at] = " "

    def combine(self, at: int, mark: str) -> None:
        """With the character that ends before the cell `at`."""
        at -= 1
        if 0 < at < len(self.text) and self.text[at] == "":
            at -= 1
        if 0 <= at < len(self.text) and len(self.text[at]) < _COMBINED:
            self.text[at] += mark

    def erase(self, at: int, end: int, cols: int, pen: str) -> None:
        """Blank the cells from `at` up to `end`."""
        if pen:
            if at < end:
                self.put(at, " " * (end - at), pen)
        elif end >= cols:
            self._part(at)
            del self.text[at:], self.pens[at:]
        elif (end := min(end, len(self.text))) > at:
            self.put(at, " " * (end - at), "")

    def insert(self, at: int, count: int, cols: int, pen: str) -> None:
        """Blank cells, and what is there moves right."""
        if at >= len(self.text):
            if pen:
                self.put(at, " " * count, pen)
            return
        self._part(at)
        self.text[at:at] = [" "] * count
        self.pens[at:at] = [pen] * count
        self._part(cols)
        del self.text[cols:], self.pens[cols:]

    def delete(self, at: int, count: int, cols: int, pen: str) -> None:
        """Take cells out; what is right of them moves left."""
        self._part(at)
        self._part(at + count)
        del self.text[cols:], self.pens[cols:]
        del self.text[at : at + count], self.pens[at : at + count]
        if pen:
            self.put(cols - count, " " * count, pen)


class Grid:
    """The lines of one screen, and (of the main one) those that scrolled away."""

    def __init__(self, rows: int, history: int) -> None:
        self.lines = [Line() for _ in range(rows)]
        self.history: deque[Line] = deque(maxlen=history)
        self.saved: tuple[int, int, str, bool] = (0, 0, "", False)
        """Cursor (line, column), pen and origin mode, as ESC 7 keeps them."""

    def up(self, top: int, bottom: int, count: int, cols: int, pen: str) -> None:
        """Scroll the lines from `top` to `bottom` (its line too) up."""
        count = min(count, bottom - top + 1)
        gone = self.lines[top : top + count]
        if top == 0:
            self.history.extend(gone)
        del self.lines[top : top + count]
        self.lines[bottom + 1 - count : bottom + 1 - count] = _blank(count, cols, pen)

    def down(self, top: int, bottom: int, count: int, cols: int, pen: str) -> None:
        """And down."""
        count = min(count, bottom - top + 1)
        del self.lines[bottom + 1 - count : bottom + 1]
        self.lines[top:top] = _blank(count, cols, pen)

    def resize(self, rows: int, row: int) -> int:
        """To so many lines, with the cursor in line `row`: where that is then.

        Lines below the cursor go first, then those at the top scroll away.
        """
        surplus = len(self.lines) - rows
        if surplus > 0:
            below = min(surplus, len(self.lines) - 1 - row)
            if below:
                del self.lines[-below:]
            above = surplus - below
            self.history.extend(self.lines[:above])
            del self.lines[:above]
            return max(row - above, 0)
        self.lines += [Line() for _ in range(-surplus)]
        return row


def _blank(count: int, cols: int, pen: str) -> list[Line]:
    lines = [Line() for _ in range(count)]
    if pen:
        for line in lines:
            line.put(0, " " * cols, pen)
    return lines


@lru_cache(maxsize=4096)
def width(character: str) -> int:
    """In cells: 0, 1 or 2."""
    if character < "\u0300":
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1

"""The screen of a terminal that understands what xterm does of ECMA-48 and DEC's VT series, as far
as programs draw with it. It answers nothing and rings no bell.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from . import pen as pens
from .grid import HISTORY, Grid, Line, width
from .modes import Modes
from .sequences import Scanner, numbers

MOST = 1000
"""Rows, and columns."""
_TAB = 8
_GRAPHICS = str.maketrans("`abcdefghijklmnopqrstuvwxyz{|}~", "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")


class Emulator:
    """Feed it with what is written to the terminal, and tell it of sizes in between."""

    def __init__(self, rows: int, cols: int, history: int = HISTORY) -> None:
        self._scanner = Scanner()
        self._history = history
        self.rows, self.cols = _size(rows, cols)
        self._reset()

    def _reset(self) -> None:
        self.modes = Modes()
        self.main = Grid(self.rows, self._history)
        self.other = Grid(self.rows, 0)
        """The alternate screen."""
        self.grid = self.main
        self.row = self.col = 0
        self.wraps = False
        """The last column was written: the next character goes to the next line."""
        self.pen = ""
        self.top, self.bottom = 0, self.rows - 1
        self._origin = False
        self._tabs: set[int] | None = None
        """None: every eighth column."""
        self._last = ""
        """What was written just now, if nothing else came since; it can be repeated."""

    @property
    def unfinished(self) -> bytes:
        """A sequence, or a character, whose rest has not come."""
        return self._scanner.unfinished

    @property
    def origin(self) -> bool:
        """Lines are counted from the first that scrolls."""
        return self._origin

    @property
    def line(self) -> Line:
        """Where the cursor is."""
        return self.grid.lines[self.row]

    def resize(self, rows: int, cols: int) -> None:
        """The window has another size. What a narrower one does not show is kept for a wider one.

        Margins stay, where terminals drop them: whoever has them draws anew, or has not noticed, as
        when the window is moved and moved back for somebody who attaches.
        """
        rows, cols = _size(rows, cols)
        row = self.grid.resize(rows, self.row)
        other = self.other if self.grid is self.main else self.main
        line, *rest = other.saved
        other.saved = (other.resize(rows, min(line, self.rows - 1)), *rest)  # type: ignore[assignment]
        self.rows, self.cols = rows, cols
        self.row, self.col = row, min(self.col, cols - 1)
        top, bottom = self.modes.margins
        bottom = min(bottom or rows, rows)
        if max(top, 1) >= bottom:
            top, bottom = self.modes.margins = (0, 0)
        self.top, self.bottom = max(top, 1) - 1, (bottom or rows) - 1
        self.wraps = self.wraps and self.col == cols - 1

    def feed(self, data: bytes) -> None:
        """It is written to the terminal."""
        for token in self._scanner.tokens(data):
            if (text := token["text"]) is not None:
                self._write(text.decode(errors="replace"))
                continue
            if (control := token["control"]) is not None:
                self._control(control, token)
            else:
                self.modes.take(token)
                if (final := token["csi"]) is not None:
                    self._csi(token["private"] + token["inner"] + final, token["args"])
                elif (final := token["esc"]) is not None:
                    self._esc(token["between"], final)
            self._last = ""

    # -- text

    def _write(self, text: str) -> None:
        self._last = text[-1:]
        modes = self.modes
        if modes.charsets[b")" if modes.shifted else b"("] == b"0":
            text = text.translate(_GRAPHICS)
        if text.isascii():
            self._write_cells(text)
            return
        for character in text:
            cells = width(character)
            if cells == 0:
                self.line.combine(self.col + self.wraps, character)
            elif cells == 1:
                self._write_cells(character)
            else:
                self._write_wide(character)

    def _write_cells(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self.wraps:
                self._wrap()
            part = text[at : at + self.cols - self.col]
            at += len(part)
            if 4 in self.modes.ansi:
                self.line.insert(self.col, len(part), self.cols, "")
            self.line.put(self.col, part, self.pen)
            self.col += len(part)
            if self.col >= self.cols:
                self.col = self.cols - 1
                self.wraps = self.modes.private.get(7, True)

    def _write_wide(self, character: str) -> None:
        if self.cols < 2:
            return
        if self.wraps or self.col == self.cols - 1:
            self._wrap()
        if 4 in self.modes.ansi:
            self.line.insert(self.col, 2, self.cols, "")
        self.line.put(self.col, [character, ""], self.pen)
        self.col += 2
        if self.col >= self.cols:
            self.col = self.cols - 1
            self.wraps = self.modes.private.get(7, True)

    def _wrap(self) -> None:
        if self.modes.private.get(7, True):
            self.col = 0
            self._line_feed()
        else:
            self.col = max(self.cols - 2, 0)
        self.wraps = False

    # -- controls

    def _control(self, control: bytes, token: re.Match[bytes]) -> None:
        if control == b"\n" or control in b"\v\f":
            self._line_feed()
            if 20 in self.modes.ansi:
                self.col = 0
        elif control == b"\r":
            self.col, self.wraps = 0, False
        elif control == b"\b":
            self.col, self.wraps = max(self.col - 1, 0), False
        elif control == b"\t":
            self._tab(1)
        elif control in b"\x0e\x0f":
            self.modes.take(token)

    def _line_feed(self) -> None:
        self.wraps = False
        if self.row == self.bottom:
            self.grid.up(self.top, self.bottom, 1, self.cols, self._blank)
        elif self.row < self.rows - 1:
            self.row += 1

    def _reverse_line_feed(self) -> None:
        self.wraps = False
        if self.row == self.top:
            self.grid.down(self.top, self.bottom, 1, self.cols, self._blank)
        elif self.row > 0:
            self.row -= 1

    def _tab(self, count: int) -> None:
        for _ in range(min(abs(count), self.cols)):
            self.col += 1 if count > 0 else -1
            while 0 < self.col < self.cols - 1 and not self._is_tab(self.col):
                self.col += 1 if count > 0 else -1
            self.col = min(max(self.col, 0), self.cols - 1)

    def _is_tab(self, col: int) -> bool:
        return col % _TAB == 0 if self._tabs is None else col in self._tabs

    @property
    def _blank(self) -> str:
        return pens.background(self.pen)

    def _esc(self, between: bytes, final: bytes) -> None:
        if between == b"#" and final == b"8":
            for line in self.grid.lines:
                line.text, line.pens = ["E"] * self.cols, [""] * self.cols
        elif between:
            return
        elif final == b"7":
            self._save()
        elif final == b"8":
            self._back()
        elif final in b"DE":
            self._line_feed()
            self.col = self.col if final == b"D" else 0
        elif final == b"M":
            self._reverse_line_feed()
        elif final == b"H":
            self._set_tabs(self.col, True)
        elif final == b"c":
            history = self.main.history
            self._reset()
            self.main.history = history

    def _save(self) -> None:
        self.grid.saved = (self.row, self.col, self.pen, self._origin)

    def _back(self) -> None:
        row, col, self.pen, self._origin = self.grid.saved
        self.row, self.col = min(row, self.rows - 1), min(col, self.cols - 1)
        self.wraps = False

    def _set_tabs(self, col: int, on: bool) -> None:
        if self._tabs is None:
            self._tabs = set(range(0, MOST, _TAB))
        (self._tabs.add if on else self._tabs.discard)(col)

    # -- control sequences

    def _csi(self, kind: bytes, args: bytes) -> None:
        if kind == b"m":
            self.pen = pens.changed(self.pen, args)
            return
        given = numbers(args)
        if kind in (b"?h", b"?l"):
            for number in given:
                self._private(number, kind == b"?h")
        elif (does := _DOES.get(kind)) is not None:
            does(self, [min(number, MOST) for number in given] + [0])

    def _private(self, number: int, on: bool) -> None:
        if number == 6:
            self._origin = on
            self._go(0, 0)
        elif number == 1048:
            self._save() if on else self._back()
        elif number in (47, 1047, 1049):
            self._switch(number, on)

    def _switch(self, number: int, on: bool) -> None:
        if on == (self.grid is self.other):
            return
        if number == 1049 and on:
            self._save()
        self.grid = self.other if on else self.main
        self.wraps = False
        if on and number != 47:
            self.other.lines = [Line() for _ in range(self.rows)]
        elif number == 1049:
            self._back()

    def _go(self, row: int, col: int) -> None:
        """To a line and a column, from 0; of those that scroll, in origin mode."""
        first, last = (self.top, self.bottom) if self._origin else (0, self.rows - 1)
        self.row = min(max(first + row, first), last)
        self.col = min(max(col, 0), self.cols - 1)
        self.wraps = False

    def _move(self, rows: int, cols: int) -> None:
        """By so many; not across a margin that it is within."""
        first = self.top if self.row >= self.top else 0
        last = self.bottom if self.row <= self.bottom else self.rows - 1
        self.row = min(max(self.row + rows, first), last)
        self.col = min(max(self.col + cols, 0), self.cols - 1)
        self.wraps = False

    def _erase_display(self, what: int) -> None:
        lines, blank = self.grid.lines, self._blank
        if what == 3:
            self.main.history.clear()
            return
        if what not in (0, 1, 2):
            return
        if what != 2:
            self._erase_line(what)
        for row in {0: range(self.row + 1, self.rows), 1: range(self.row)}.get(
            what, range(self.rows)
        ):
            lines[row].erase(0, self.cols, self.cols, blank)

    def _erase_line(self, what: int) -> None:
        start, end = {0: (self.col, self.cols), 1: (0, self.col + 1)}.get(what, (0, self.cols))
        self.line.erase(start, end, self.cols, self._blank)

    def _erase(self, count: int) -> None:
        self.line.erase(self.col, min(self.col + count, self.cols), self.cols, self._blank)

    def _scroll_from_here(self, count: int) -> None:
        """Insert lines, or (less than 0) delete some."""
        if self.top <= self.row <= self.bottom:
            lines, blank = self.grid, self._blank
            if count > 0:
                lines.down(self.row, self.bottom, count, self.cols, blank)
            elif self.row > 0:
                lines.up(self.row, self.bottom, -count, self.cols, blank)
            else:  # no line that is deleted scrolls away
                kept = lines.history.copy()
                lines.up(self.row, self.bottom, -count, self.cols, blank)
                lines.history = kept
            self.col = 0

    def _cells(self, count: int) -> None:
        """Insert cells, or (less than 0) delete some."""
        change = self.line.insert if count > 0 else self.line.delete
        change(self.col, min(abs(count), self.cols - self.col), self.cols, self._blank)

    def _margins(self, top: int, bottom: int) -> None:
        top, bottom = max(top, 1) - 1, min(bottom or self.rows, self.rows) - 1
        if top < bottom:
            self.top, self.bottom = top, bottom
            self._go(0, 0)

    def _repeat(self, count: int) -> None:
        if self._last:
            self._write(self._last * count)

    def _clear_tabs(self, what: int) -> None:
        if what == 3:
            self._tabs = set()
        elif what == 0:
            self._set_tabs(self.col, False)

    def _soft_reset(self) -> None:
        self.pen, self._origin = "", False
        self.top, self.bottom = 0, self.rows - 1
        self.grid.saved = (0, 0, "", False)


def _size(rows: int, cols: int) -> tuple[int, int]:
    return min(max(rows, 1), MOST), min(max(cols, 1), MOST)


def replayed(before: bytes, data: bytes, sizes: list[tuple[int, int, int]]) -> Emulator:
    """The screen after `data`; `sizes` are (from which byte, rows, columns), the first at 0.

    `before` sets what was turned on by then.
    """
    (_, rows, cols), *later = sizes
    screen = Emulator(rows, cols)
    screen.feed(before)
    at = 0
    for until, rows, cols in later:
        screen.feed(data[at:until])
        screen.resize(rows, cols)
        at = max(until, at)
    screen.feed(data[at:])
    return screen


_DOES: dict[bytes, Callable[[Emulator, list[int]], object]] = {
    b"@": lambda e, a: e._cells(a[0] or 1),
    b"A": lambda e, a: e._move(-(a[0] or 1), 0),
    b"B": lambda e, a: e._move(a[0] or 1, 0),
    b"C": lambda e, a: e._move(0, a[0] or 1),
    b"D": lambda e, a: e._move(0, -(a[0] or 1)),
    b"E": lambda e, a: e._move(a[0] or 1, -MOST),
    b"F": lambda e, a: e._move(-(a[0] or 1), -MOST),
    b"G": lambda e, a: e._move(0, (a[0] or 1) - 1 - e.col),
    b"H": lambda e, a: e._go((a[0] or 1) - 1, (a[1] or 1) - 1),
    b"I": lambda e, a: e._tab(a[0] or 1),
    b"J": lambda e, a: e._erase_display(a[0]),
    b"?J": lambda e, a: e._erase_display(a[0]),
    b"K": lambda e, a: e._erase_line(a[0]),
    b"?K": lambda e, a: e._erase_line(a[0]),
    b"L": lambda e, a: e._scroll_from_here(a[0] or 1),
    b"M": lambda e, a: e._scroll_from_here(-(a[0] or 1)),
    b"P": lambda e, a: e._cells(-(a[0] or 1)),
    b"S": lambda e, a: e.grid.up(e.top, e.bottom, a[0] or 1, e.cols, e._blank),
    b"T": lambda e, a: e.grid.down(e.top, e.bottom, a[0] or 1, e.cols, e._blank),
    b"X": lambda e, a: e._erase(a[0] or 1),
    b"Z": lambda e, a: e._tab(-(a[0] or 1)),
    b"`": lambda e, a: e._move(0, (a[0] or 1) - 1 - e.col),
    b"a": lambda e, a: e._move(0, a[0] or 1),
    b"b": lambda e, a: e._repeat(a[0] or 1),
    b"d": lambda e, a: e._go((a[0] or 1) - 1, e.col),
    b"e": lambda e, a: e._move(a[0] or 1, 0),
    b"f": lambda e, a: e._go((a[0] or 1) - 1, (a[1] or 1) - 1),
    b"g": lambda e, a: e._clear_tabs(a[0]),
    b"r": lambda e, a: e._margins(a[0], a[1]),
    b"s": lambda e, _: e._save(),
    b"u": lambda e, _: e._back(),
    b"!p": lambda e, _: e._soft_reset(),
}
"""Of each sequence: what it does, with its parameters and a 0 behind them."""

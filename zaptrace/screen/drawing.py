"""The bytes that make one terminal show what another does."""

from __future__ import annotations

from collections.abc import Iterable

from . import pen as pens
from .emulator import Emulator
from .grid import Line


def drawn(of: Emulator, rows: int, cols: int, history: int) -> bytes:
    """Draw the screen of `of` on a terminal of that size, on which no mode is on.

    What stood there scrolls away, and so do up to `history` of the lines that did so over there, so that
    whoever scrolls back finds them.
    """
    out = [f"\x1b[{rows};1H", "\n" * rows, "\x1b[H"]
    scrolled = list(of.main.history)[-history:] if history and rows == of.rows else []
    cols = min(cols, of.cols)
    out += [_line(line, cols) + "\r\n" for line in scrolled]
    main, other = of.main.lines[:rows], of.other.lines[:rows]
    out.append("\r\n".join(_line(line, cols) for line in _to_the_last(main, bool(scrolled))))
    encoded = [_encoded(out)]
    modes = of.modes
    if of.grid is of.other:
        # Where it goes on when the program leaves the alternate screen; the mode keeps that.
        row, col, pen, _ = of.main.saved
        encoded.append(_encoded([_cursor(row, col), pens.sequence(pen)]))
        encoded.append(b"\x1b[?%dh\x1b[0m\x1b[H\x1b[J" % (modes.alternate or 1049))
        lines = [_cursor(row, 0) + _line(line, cols) for row, line in enumerate(other) if line.text]
        encoded.append(_encoded(lines))
    if modes.margins != (0, 0):
        encoded.append(b"\x1b[%d;%dr" % (of.top + 1, of.bottom + 1))
    row, col, pen, origin = of.grid.saved
    if of.grid.saved != (0, 0, "", False):
        encoded.append(
            _encoded([_cursor(row, col), pens.sequence(pen)]) + _origin(origin, of, row, col)
        )
        encoded.append(b"\x1b7" + b"\x1b[?6l" * origin + b"\x1b[0m")
    encoded.append(_encoded(_to_the_cursor(of)) + _origin(of.origin, of, of.row, of.col))
    encoded.append(_encoded([pens.sequence(of.pen)] if of.pen else []))
    encoded.append(modes.again())
    encoded.append(of.unfinished)
    return b"".join(encoded)


def printed(of: Emulator) -> bytes:
    """What scrolled away and what is on the screen, line by line; nothing but colours is in it."""
    lines = [*of.main.history, *_to_the_last(of.main.lines, False)]
    if of.grid is of.other:
        lines += _to_the_last(of.other.lines, False)
    return _encoded(_line(line, of.cols) + "\n" for line in lines)


def _origin(on: bool, of: Emulator, row: int, col: int) -> bytes:
    return b"\x1b[?6h\x1b[%d;%dH" % (row - of.top + 1, col + 1) if on else b""


def _to_the_last(lines: list[Line], whole: bool) -> list[Line]:
    """All of them when what is above is to scroll as far; else without those that are blank at the end."""
    last = len(lines)
    while not whole and last and not lines[last - 1].text:
        last -= 1
    return lines[:last]


def _to_the_cursor(of: Emulator) -> Iterable[str]:
    if not of.wraps or of.cols < 2 or len(of.line.text) < of.cols:
        return [_cursor(of.row, of.col)]
    # The last column is written anew, so that the next character goes to the next line here, too.
    text, pen = of.line.text[of.col], of.line.pens[of.col]
    col = of.col
    if text == "":
        col, text = col - 1, of.line.text[of.col - 1]
    return [_cursor(of.row, col), pens.sequence(pen), text, "\x1b[0m"]


def _cursor(row: int, col: int) -> str:
    return f"\x1b[{row + 1};{col + 1}H"


def _line(line: Line, cols: int) -> str:
    """Its characters, each with its pen, and no pen at the end."""
    out, pen = [], ""
    text, line_pens = line.text[:cols], line.pens[:cols]
    at = 0
    while at < len(text):
        end = at + 1
        while end < len(text) and line_pens[end] == line_pens[at]:
            end += 1
        if line_pens[at] != pen:
            pen = line_pens[at]
            out.append(pens.sequence(pen))
        out.append("".join(text[at:end]))
        at = end
    return "".join(out) + ("\x1b[0m" if pen else "")


def _encoded(parts: Iterable[str]) -> bytes:
    return "".join(parts).encode(errors="replace")

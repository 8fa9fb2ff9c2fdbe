"""What a program has turned on in its terminal.

It is followed over everything that a pod writes, so text is only searched past. What a mode that we
do not know does is the terminal's to know: it is set again as it was set, and taken back.
"""

from __future__ import annotations

import re

from .sequences import Scanner, numbers

_ON = frozenset((7, 25, 1007, 1034, 1035, 1036, 1039))
"""Private modes that terminals begin with."""
_ALTERNATE = (47, 1047, 1049)
_MOMENTARY = frozenset((3, 40, 1048, *_ALTERNATE))
"""They clear the screen, or move the cursor; the alternate screen is kept apart."""
_MOST = 64
"""Modes, and colours, that are kept; no program comes near."""
_TITLE_MOST = 256
_SGR = re.compile(rb"\x1b\[([0-9;:]*)m")
_NEAR = 4096
_COLOURS = {b"10": b"110", b"11": b"111", b"12": b"112", b"4": b"104"}
"""OSC that sets one, and the OSC that takes it back."""


class Modes:
    """Of one terminal, by what was written to it."""

    def __init__(self) -> None:
        self._scanner = Scanner()
        self._reset()

    def _reset(self) -> None:
        self.private: dict[int, bool] = {}
        """Those that are not as terminals begin."""
        self.ansi: set[int] = set()
        self.alternate = 0
        """The mode by which the alternate screen was turned on, or 0."""
        self.keypad = False
        self.margins = (0, 0)
        """First and last line that scroll, from 1; (0, 0) for all."""
        self.charsets = {b"(": b"B", b")": b"B"}
        self.shifted = False
        self.cursor_style = 0
        self.pen = False
        """There are colours or attributes."""
        self.keys: dict[int, bytes] = {}
        """xterm's ways to report keys (XTMODKEYS)."""
        self.kitty: list[int] = []
        """kitty's, which are a stack."""
        self.colours: dict[bytes, bytes] = {}
        self.title = b""

    def follow(self, data: bytes) -> None:
        """`data` was written."""
        data, telling = self._scanner.telling(data)
        for token in telling:
            self.take(token)
        if b"\x1b[" in data:
            near_the_end = max(len(data) - _NEAR, 0)
            pens = [*_SGR.finditer(data, near_the_end)] or [*_SGR.finditer(data)]
            if pens:
                self.pen = pens[-1][1].strip(b"0;") != b""

    @property
    def unfinished(self) -> bytes:
        """A sequence that has begun, and not ended."""
        return self._scanner.unfinished

    def goes_on(self, unfinished: bytes) -> None:
        """`follow` comes next; that much of a sequence was written."""
        self._scanner.unfinished = unfinished

    def take(self, token: re.Match[bytes]) -> None:
        """One sequence (see sequences.TOKEN) was written."""
        if (final := token["csi"]) is not None:
            self._csi(token["private"] or b"", token["args"], token["inner"], final)
        elif token["string"] == b"]":
            self._osc(token["said"])
        elif (final := token["esc"]) is not None:
            self._esc(token["between"], final)
        elif token["control"] in (b"\x0e", b"\x0f"):
            self.shifted = token["control"] == b"\x0e"

    def _csi(self, private: bytes, args: bytes, inner: bytes, final: bytes) -> None:
        kind = private + inner + final
        if kind == b"m":
            self.pen = args.strip(b"0;") != b""
        elif kind in (b"?h", b"?l"):
            for number in numbers(args):
                self._set(number, kind == b"?h")
        elif kind in (b"h", b"l"):
            for number in numbers(args):
                (self.ansi.add if kind == b"h" and number in (4, 20) else self.ansi.discard)(number)
        elif kind == b"r":
            top, bottom = (*numbers(args), 0)[:2]
            self.margins = (max(top, 1), bottom) if top > 1 or bottom else (0, 0)
        elif kind == b" q":
            self.cursor_style = numbers(args)[0]
        elif kind == b"!p":
            self._soft_reset()
        elif kind == b">m":
            which, *value = args.split(b";")
            number = numbers(which)[0]
            self.keys.pop(number, None)
            if value and value[0].strip(b"0") and len(self.keys) < _MOST:
                self.keys[number] = value[0][:6]
        elif kind in (b">u", b"<u", b"=u"):
            self._keyboard(private, numbers(args)[0])

    def _set(self, number: int, on: bool) -> None:
        if number in _ALTERNATE:
            self.alternate = number if on else 0
        elif number in _MOMENTARY:
            return
        elif on == (number in _ON):
            self.private.pop(number, None)
        elif (on or number in _ON) and len(self.private) < _MOST:
            self.private[number] = on

    def _keyboard(self, kind: bytes, flags: int) -> None:
        if kind == b">" and len(self.kitty) < _MOST:
            self.kitty.append(flags)
        elif kind == b"<":
            del self.kitty[-max(flags, 1) :]
        elif kind == b"=" and self.kitty:
            self.kitty[-1] = flags

    def _esc(self, between: bytes, final: bytes) -> None:
        if between in self.charsets:
            self.charsets[between] = final
        elif between:
            return
        elif final in b"=>":
            self.keypad = final == b"="
        elif final == b"c":
            self._reset()

    def _osc(self, said: bytes) -> None:
        kind, _, value = said.partition(b";")
        if kind in (b"0", b"2"):
            self.title = value[:_TITLE_MOST]
        elif kind in _COLOURS and b"?" not in value and len(self.colours) < _MOST:
            # Palette entries (4;N;colour) are each their own.
            which = b"4;" + value.partition(b";")[0] if kind == b"4" else kind
            self.colours[which] = value[:_TITLE_MOST]
        else:
            for sets, unsets in _COLOURS.items():
                if kind == unsets:
                    for which in [w for w in self.colours if w.partition(b";")[0] == sets]:
                        del self.colours[which]

    def _soft_reset(self) -> None:
        self.private = {n: on for n, on in self.private.items() if n not in (1, 6, 7, 25, 66)}
        self.ansi.clear()
        self.keypad = self.shifted = self.pen = False
        self.margins = (0, 0)
        self.charsets = {b"(": b"B", b")": b"B"}

    # -- as sequences

    def again(self) -> bytes:
        """They turn all of it on in a terminal that is as new; the cursor is left anywhere.

        Not the alternate screen, nor the margins and what depends on where the cursor is: drawing.py.
        """
        out = [b"\x1b[?%d%c" % (n, b"lh"[on]) for n, on in self.private.items() if n != 6]
        out += [b"\x1b[%dh" % n for n in sorted(self.ansi)]
        out += [b"\x1b%s%s" % pair for pair in self.charsets.items() if pair[1] != b"B"]
        out += [b"\x1b="] * self.keypad + [b"\x0e"] * self.shifted
        out += [b"\x1b[%d q" % self.cursor_style] if self.cursor_style else []
        out += [b"\x1b[>%d;%sm" % pair for pair in self.keys.items()]
        out += [b"\x1b[>%du" % flags for flags in self.kitty]
        for which, value in self.colours.items():
            out.append(b"\x1b]%s;%s\x1b\\" % (which.partition(b";")[0], value))
        out += [b"\x1b]2;%s\x1b\\" % self.title] if self.title else []
        return b"".join(out)

    def before(self) -> bytes:
        """They turn all of it on in an emulator, which then goes on from there."""
        out = self.again()
        out += b"\x1b[?6h" if 6 in self.private else b""
        out += b"\x1b[?%dh" % self.alternate if self.alternate else b""
        return out + (b"\x1b[%d;%dr" % self.margins if self.margins != (0, 0) else b"")

    def undone(self) -> bytes:
        """They turn all of it off again; nothing where nothing is on."""
        out = (
            [b"\x18"] if self.unfinished[:1] == b"\x1b" else []
        )  # it is not to go on with our words
        out += [b"\x1b[0m"] * self.pen
        out += [b"\x1b7\x1b[r\x1b8"] if self.margins != (0, 0) else []
        out += [b"\x1b[?%d%c" % (n, b"hl"[on]) for n, on in self.private.items()]
        out += [b"\x1b[%dl" % n for n in sorted(self.ansi)]
        out += [b"\x1b%sB" % which for which, to in self.charsets.items() if to != b"B"]
        out += [b"\x1b>"] * self.keypad + [b"\x0f"] * self.shifted
        out += [b"\x1b[0 q"] if self.cursor_style else []
        out += [b"\x1b[>%dm" % number for number in self.keys]
        out += [b"\x1b[<%du" % len(self.kitty)] if self.kitty else []
        sets = {which.partition(b";")[0] for which in self.colours}
        out += [b"\x1b]%s\x1b\\" % _COLOURS[one] for one in sorted(sets)]
        out += [b"\x1b[?%dl" % self.alternate] if self.alternate else []
        return b"".join(out)

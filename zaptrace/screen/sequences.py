"""Bytes for a terminal, taken apart as ECMA-48 has it, in UTF-8 (so there are no 8-bit controls)."""

from __future__ import annotations

import re
from collections.abc import Iterator

TOKEN = re.compile(
    rb"(?P<text>[\x20-\x7e\x80-\xff]+)"
    rb"|\x1b\[(?P<private>[<-?]?)(?P<args>[0-;]*)(?P<inner>[ -/]*)(?P<csi>[@-~])"
    rb"|\x1b(?P<string>[\]PX^_])(?P<said>[^\x07\x18\x1a\x1b]*)"
    rb"(?:\x07|\x1b\\|[\x18\x1a]|(?=\x1b[^\\]))"
    rb"|\x1b(?P<between>[ -/]*)(?P<esc>[0-OQ-WYZ`-~\\])"
    rb"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
)
_TELLING = re.compile(rb"\x1b(?!\[[0-9;:]*[@-gi-km-qs-~])")
"""Not those that only move the cursor, erase or colour: they are most of all."""
_TELLING_OR_SHIFT = re.compile(_TELLING.pattern + rb"|[\x0e\x0f]")
_UNFINISHED = re.compile(rb"\x1b(?:\[[ -?]*|[\]PX^_][^\x07\x18\x1a\x1b]*\x1b?|[ -/]*)\Z")
_HALF_A_CHARACTER = re.compile(
    rb"(?:[\xc0-\xff]|[\xe0-\xff][\x80-\xbf]|[\xf0-\xff][\x80-\xbf]{2})\Z"
)
_LONGEST = 1 << 16
"""Of a sequence that has no end yet: what is longer is none."""


class Scanner:
    """Splits what comes, in whatever pieces, and keeps back what is not whole yet."""

    def __init__(self) -> None:
        self.unfinished = b""
        """The beginning of a sequence, or of a character, whose rest has not come."""

    def tokens(self, data: bytes) -> Iterator[re.Match[bytes]]:
        """All of it."""
        data = self.whole(data)
        at = 0
        while at < len(data):
            token = TOKEN.match(data, at)
            if token is not None:
                yield token
                at = token.end()
            else:
                at += 1  # an ESC that begins nothing

    def telling(self, data: bytes) -> tuple[bytes, Iterator[re.Match[bytes]]]:
        """What is whole, and those of its sequences that turn something on or off; colours apart."""
        data = self.whole(data)
        if b"\x0e" in data or b"\x0f" in data:
            return data, self._each(data, _TELLING_OR_SHIFT)
        return data, self._each(data, _TELLING) if b"\x1b" in data else iter(())

    @staticmethod
    def _each(data: bytes, wanted: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
        at = 0
        while (found := wanted.search(data, at)) is not None:
            token = TOKEN.match(data, found.start())
            if token is not None:
                yield token
            at = token.end() if token is not None else found.end()

    def whole(self, data: bytes) -> bytes:
        """With what was kept back before, and without what is kept back now."""
        data = self.unfinished + data if self.unfinished else data
        start = _beginning(data)
        if start is None or len(data) - start > _LONGEST:
            self.unfinished = b""
            return data
        self.unfinished = data[start:]
        return data[:start]


def _beginning(data: bytes) -> int | None:
    """Of what is not whole at the end of `data`, if anything is."""
    last = data.rfind(b"\x1b")
    before = data.rfind(b"\x1b", 0, last) if last == len(data) - 1 > 0 else -1
    for at in (before, last):  # the last may be half of what ends the one before
        if at >= 0 and _UNFINISHED.match(data, at):
            return at
    half = _HALF_A_CHARACTER.search(data, max(len(data) - 3, 0))
    return half.start() if half is not None else None


def numbers(args: bytes) -> list[int]:
    """The parameters of a sequence, 0 for one that is left out; sub-parameters (after a colon) apart."""
    return [int(one.partition(b":")[0][:6] or 0) for one in args.split(b";")]

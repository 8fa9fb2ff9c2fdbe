"""Text of a pod, an image or a peer, made fit to print.

A name, a path, a command or an error of somebody else may hold anything: sequences that command a
terminal, characters that turn the direction of writing, line ends that forge a line of ours. What
is printed or logged comes by here: whatever is not printable is shown as an escape.
"""

from __future__ import annotations

import os

_INDENT = " " * 11
"""Of further lines: as wide as the names of an error's fields, so that none looks like one."""


def shown(text: str | bytes) -> str:
    """`text` in one line, as it may be printed."""
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    return text if text.isprintable() else "".join(map(_escaped, text))


def shown_lines(text: str) -> str:
    """The same for what may have several lines; those after the first are indented."""
    if text.isprintable():
        return text
    return f"\n{_INDENT}".join(shown(line.strip()) for line in text.split("\n"))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, see os.fsdecode
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"

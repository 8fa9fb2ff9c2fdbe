"""Text of a pod, an image or a peer, made fit to print.

A name, a path, a command or an error of somebody else may hold anything: sequences that command a
terminal, characters that turn the direction of writing, line ends that forge a line of ours. What
is printed or logged comes by here: whatever is not printable is shown as an escape.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Iterable

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


def as_json(value: object) -> str:
    """What json.dumps gives for plain data; loading that takes longer than this."""
    if isinstance(value, str):
        return f'"{"".join(map(_in_json, value))}"'
    if isinstance(value, dict):
        return f"{{{', '.join(f'{as_json(str(k))}: {as_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_json, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _in_json(character: str) -> str:
    if " " <= character <= "~":
        return f"\\{character}" if character in '"\\' else character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, see os.fsdecode
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def close_to(word: str, known: Iterable[str]) -> str | None:
    """The word that was perhaps meant, if there is one that looks like it."""
    from difflib import get_close_matches  # where something is wrong already

    return next(iter(get_close_matches(word, known, 1)), None)

"""What we have noted in a file as JSON, read again: all of it as it has to be, or nothing.

A crash of the machine leaves zeros, an editor anything; whoever reads a record need not think of that.
"""

from __future__ import annotations

import os

from ..limits import RECORD
from . import private

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any, TypeAlias

    from .private import StrPath

    Check: TypeAlias = Callable[[Any], bool]


def read(
    path: StrPath, known: Mapping[str, Check], needed: Collection[str] = ()
) -> dict[str, Any] | None:
    """The map in this file, where each that is `known` passes its check; fields may be missing, but
    for the `needed`."""
    try:
        data = private.read(path, RECORD)
        import json  # which the start of a pod does without: it has none to read

        value = json.loads(data)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not all(name in value for name in needed):
        return None
    return value if all(known[name](value[name]) for name in known.keys() & value) else None


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def is_map(value: Any) -> bool:
    return isinstance(value, dict)


def is_time(value: Any) -> bool:
    """Seconds since 1970, in a year that has a name."""
    return isinstance(value, int | float) and 0 <= value < 1 << 37


def is_pid(value: Any) -> bool:
    return type(value) is int and 0 < value <= 1 << 22  # PID_MAX_LIMIT


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 31


def is_status(value: Any) -> bool:
    """A wait status of something that has ended; None where it did not."""
    if type(value) is not int:
        return value is None
    return 0 <= value < 1 << 16 and (os.WIFEXITED(value) or os.WIFSIGNALED(value))

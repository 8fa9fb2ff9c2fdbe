"""The differences between two trees of plain data, in words."""

from __future__ import annotations

from collections import Counter
from typing import Any

_LONGEST = 600


def compare(before: dict[int, Any], after: dict[int, Any]) -> list[str]:
    """By process. A list is a bag: two equal items are two."""
    said: list[str] = []
    for vpid in sorted({*before, *after}):
        where = f"process {vpid}"
        if vpid not in after:
            said.append(f"{where}: is gone; was {before[vpid]!r}")
        elif vpid not in before:
            said.append(f"{where}: is new: {after[vpid]!r}")
        else:
            _compare(where, before[vpid], after[vpid], said)
    return [line[:_LONGEST] for line in said]


def _compare(where: str, before: Any, after: Any, said: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}, key=str):
            inner = f"{where} {key}"
            if key not in after:
                said.append(f"{inner}: is gone; was {before[key]!r}")
            elif key not in before:
                said.append(f"{inner}: is new: {after[key]!r}")
            else:
                _compare(inner, before[key], after[key], said)
    elif isinstance(before, list) and isinstance(after, list):
        had, has = Counter(map(repr, before)), Counter(map(repr, after))
        said += [f"{where}: lost {item}" for item in (had - has).elements()]
        said += [f"{where}: has more: {item}" for item in (has - had).elements()]
    elif before != after:
        said.append(f"{where}: was {before!r}, is {after!r}")

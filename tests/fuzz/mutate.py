"""Plain data made wrong: what an image or a message becomes in the hands of somebody else."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator
from typing import Any

INTS = [
    0, 1, 2, -1, 7, 63, 64, 65, 255, 256, 4095, 4096, 65535, 65536, 1 << 22, (1 << 22) + 1,
    (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 47, (1 << 47) - 4096, (1 << 62),
    (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 31), -(1 << 63),
]  # fmt: skip
TEXTS = [
    "", "\0", "a\0b", "..", "/", "/etc/passwd", "\n", "\x1b]0;owned\x07", "\u202e", "\udcff",
    "x" * 300, "x" * 5000, "state", "manifest", "{}", "%s", "é" * 200, "posix", "connected",
]  # fmt: skip
OTHERS: list[Any] = [None, True, False, 0.5, float("nan"), float("inf"), 1e300, [], {}, [[]], [{}]]


LARGEST = 200_000
"""Values in what is made up; more are a matter of limits, and so of tests/test_limits.py."""


class TooLarge(Exception):
    """No input: making it would take too much here already."""


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) below."""
    waiting = [value] if isinstance(value, (dict, list)) else []
    while waiting:
        one = waiting.pop()
        items = one.items() if isinstance(one, dict) else enumerate(one)
        for key, inner in items:
            yield one, key
            if isinstance(inner, (dict, list)):
                waiting.append(inner)


def mutated(value: Any, rng: random.Random, most: int = 3) -> Any:
    """A copy with up to `most` things wrong (one most of the time)."""
    value = copy.deepcopy(value)
    for _ in range(1 if rng.random() < 0.7 else rng.randint(1, most)):
        found = list(itertools.islice(places(value), LARGEST))
        if len(found) == LARGEST:
            raise TooLarge
        if not found:
            return rng.choice(OTHERS)
        container, key = _weighed(found, rng)
        _change(container, key, found, rng)
    if sum(1 for _ in itertools.islice(places(value), LARGEST)) == LARGEST:
        raise TooLarge
    return value


def _weighed(found: list[tuple[Any, Any]], rng: random.Random) -> tuple[Any, Any]:
    """Registers and the like are many: so half of the time by the name of the field."""
    if rng.random() < 0.5:
        return rng.choice(found)
    names = sorted({str(key) for container, key in found if isinstance(container, dict)})
    if not names:
        return rng.choice(found)
    name = rng.choice(names)
    return rng.choice([(c, k) for c, k in found if isinstance(c, dict) and str(k) == name])


def _change(container: Any, key: Any, found: list[tuple[Any, Any]], rng: random.Random) -> None:
    old = container[key]
    how = rng.random()
    if how < 0.08:
        del container[key]
    elif how < 0.16 and isinstance(container, list):
        container.insert(rng.randrange(len(container) + 1), copy.deepcopy(old))
    elif how < 0.22 and isinstance(container, dict):
        container[rng.choice([*TEXTS, *INTS[:5], "more"])] = old
    elif how < 0.34:
        other, name = rng.choice(found)
        container[key] = copy.deepcopy(other[name])
    elif how < 0.42:
        container[key] = copy.deepcopy(rng.choice([*OTHERS, *INTS, *TEXTS, b"", b"\0" * 40]))
    else:
        container[key] = _like(old, rng)


def _like(old: Any, rng: random.Random) -> Any:
    """Something of the same type."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        near = old + rng.choice([-4096, -1, 1, 4096, 1 << 20])
        return rng.choice([*INTS, near if -(1 << 63) <= near < 1 << 64 else 0, -old % (1 << 63)])
    if isinstance(old, str):
        return rng.choice([*TEXTS, old[:-1], old + "\0", old * 2])
    if isinstance(old, bytes):
        return _bytes_like(old, rng)
    if isinstance(old, list):
        more = old * (50 if len(old) < 100 else 2)
        return rng.choice([[], old * 2, old[::-1], old[:-1], [old], more])
    if isinstance(old, dict):
        return rng.choice([{}, [old], dict(list(old.items())[:-1])])
    return rng.choice(OTHERS)


def _bytes_like(old: bytes, rng: random.Random) -> bytes:
    texts = [text.encode(errors="surrogateescape") for text in TEXTS]
    if not old:
        return rng.choice(texts)
    flipped = bytearray(old)
    flipped[rng.randrange(len(old))] = rng.randrange(256)
    return rng.choice(
        [*texts[:8], bytes(flipped), bytes(flipped), old[:-1], old * 2, bytes(len(old))]
    )


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes with something wrong: flipped, cut, put in, taken from elsewhere."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        how = rng.randrange(5)
        if how == 0 and at < len(changed):
            changed[at] = rng.randrange(256)
        elif how == 1:
            del changed[at : at + rng.randint(1, 64)]
        elif how == 2:
            changed[at:at] = rng.choice([b"\xdd\xff\xff\xff\xff", b"\x90" * 300, b"\xdf\0\1\0\0"])
        elif how == 3 and changed:
            start = rng.randrange(len(changed))
            changed[at:at] = changed[start : start + rng.randint(1, 200)]
        elif how == 4:
            changed[at : at + 8] = rng.randbytes(8)
    return bytes(changed)

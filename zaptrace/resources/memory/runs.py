"""Runs of bytes: spans of addresses or offsets, each with something that is known of it.

A list of `Span` is sorted and does not overlap. In an image a list of runs is bytes, four numbers to
a run, so that 40,000 pages that lie apart are read as fast as they are written:

    start, end     where the bytes belong
    owner          whose part holds them: a vpid (of an Object: 0)
    offset         where in that part
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from ...errors import BadImage

T = TypeVar("T")
U = TypeVar("U")

_RUN = struct.Struct("<4Q")
_PAIR = struct.Struct("<2Q")


class Run(NamedTuple):
    start: int
    end: int
    owner: int
    offset: int


class Span(NamedTuple, Generic[T]):
    start: int
    end: int
    what: T


def pack(runs: Iterable[Run]) -> bytes:
    return b"".join(_RUN.pack(*run) for run in runs)


def unpack(raw: bytes, start: int, end: int) -> list[Run]:
    """The runs, in order and within [start, end); BadImage if they are not."""
    if len(raw) % _RUN.size:
        raise BadImage("bad image: a list of runs is cut short")
    runs = [Run(*numbers) for numbers in _RUN.iter_unpack(raw)]
    _check(runs, start, end)
    return runs


def pack_pairs(spans: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_PAIR.pack(*span) for span in spans)


def unpack_pairs(raw: bytes, start: int, end: int) -> list[tuple[int, int]]:
    if len(raw) % _PAIR.size:
        raise BadImage("bad image: a list of ranges is cut short")
    pairs: list[tuple[int, int]] = list(_PAIR.iter_unpack(raw))
    _check(pairs, start, end)
    return pairs


def _check(spans: Iterable[tuple[int, ...]], start: int, end: int) -> None:
    at = start
    for span in spans:
        if not at <= span[0] < span[1] <= end:
            raise BadImage(f"bad image: a run lies outside of {start:#x}-{end:#x}, or of the order")
        at = span[1]


def split(one: list[Span[T]], other: list[Span[U]]) -> Iterator[tuple[int, int, T, U | None]]:
    """`one` in pieces, each with what `other` says of it; None: nothing (so nobody says None)."""
    i = 0
    for start, end, what in one:
        while i and other[i - 1].end > start:
            i -= 1
        while i < len(other) and other[i].end <= start:
            i += 1
        at = start
        while at < end:
            if i == len(other) or other[i].start >= end:
                yield at, end, what, None
                break
            if at < other[i].start:
                yield at, other[i].start, what, None
                at = other[i].start
            stop = min(end, other[i].end)
            yield at, stop, what, other[i].what
            at = stop
            if other[i].end <= at:
                i += 1


def within(spans: list[Span[T]], start: int, end: int) -> list[Span[T]]:
    """Those that overlap [start, end), whole."""
    i = bisect.bisect_right(spans, start, key=lambda span: span.start)
    if i and spans[i - 1].end > start:
        i -= 1
    found: list[Span[T]] = []
    while i < len(spans) and spans[i].start < end:
        found.append(spans[i])
        i += 1
    return found


def without(one: list[Span[T]], other: list[Span[U]]) -> list[Span[T]]:
    """What of `one` lies where `other` has nothing."""
    return [Span(s, e, what) for s, e, what, there in split(one, other) if there is None]


def overlaid(below: list[Span[T]], above: list[Span[T]]) -> list[Span[T]]:
    """Both; where they overlap, `above`."""
    return sorted([*without(below, above), *above]) if above else below

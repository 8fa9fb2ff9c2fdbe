"""What a maker has in a place when each of its children is born, where that was not always the same.

A server that counts its workers, say: whom it made before it wrote to a page share what was there,
whom it made later share what is there now. So at a restore it gets the first of these pages before
its first child is born, and others between two births, as it had them.
"""

from __future__ import annotations

import itertools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .runs import Span, overlaid, split, within


class Bytes(NamedTuple):
    """Bytes of a part: at address a, those at offset a + distance. Equal: the same bytes."""

    owner: int
    distance: int


class Wanted(NamedTuple):
    """What has to be there at a birth, for one that descends from that child."""

    start: int
    end: int
    of: Bytes
    step: int
    """Of the plan of births: which is that one."""


Pages = list[Span[Bytes]]


def generations(wanted: Iterable[Wanted]) -> tuple[Pages, dict[int, Pages]]:
    """What is there first of all, and what changes just before which step, in the order of steps.

    Where one birth wants two things in one place, it gets one of them.
    """
    first: Pages = []
    changes: dict[int, Pages] = defaultdict(list)
    for cluster in _clusters(sorted(wanted)):
        if len({one.of for one in cluster}) == 1:
            end = max(one.end for one in cluster)
            first.append(Span(cluster[0].start, end, cluster[0].of))
            continue
        births = _by_step(cluster)
        now: Pages = []
        for pages in births.values():
            now = overlaid(now, _parts(pages, now, lambda _, there: there is None))
        first += now
        for step, pages in births.items():
            if change := _parts(pages, now, operator.ne):
                changes[step] += change
                now = overlaid(now, change)
    return first, dict(sorted(changes.items()))


def _clusters(wanted: list[Wanted]) -> Iterator[list[Wanted]]:
    """In pieces between which nothing reaches over."""
    i = 0
    while i < len(wanted):
        first, end = i, wanted[i].end
        while i < len(wanted) and wanted[i].start < end:
            end = max(end, wanted[i].end)
            i += 1
        yield wanted[first:i]


def _by_step(cluster: list[Wanted]) -> dict[int, Pages]:
    found: dict[int, Pages] = {}
    for step, of_one in itertools.groupby(sorted(cluster, key=lambda w: w.step), lambda w: w.step):
        pages: Pages = []
        at = 0
        for start, end, of, _ in of_one:
            if max(at, start) < end:
                pages.append(Span(max(at, start), end, of))
                at = end
        found[step] = pages
    return found


def _parts(pages: Pages, now: Pages, chosen: Callable[[Bytes, Bytes | None], bool]) -> Pages:
    """Those parts of `pages` of which that is true, beside what is there now."""
    return [
        Span(start, end, of)
        for one in pages
        for start, end, of, there in split([one], within(now, one.start, one.end))
        if chosen(of, there)
    ]

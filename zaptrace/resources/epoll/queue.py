"""The ready list of an epoll instance: what the next epoll_wait(2) tells, and in which order.

To look is to take: a wait takes what is watched by its edge (EPOLLET), and spends an EPOLLONESHOT. All
else stays in order. What was taken is put behind the others by arming its watch again, which the
kernel does for each file that is ready.
"""

from __future__ import annotations

import dataclasses
import select
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .control import Control
    from .watch import Watch


def look(control: Control, watches: Sequence[Watch]) -> list[Watch]:
    """The watches, with what is told of them. Those that it was taken from have to be `put`."""
    if not watches:
        return []
    ready = control.ready(watches)
    places = {w: n for n, w in enumerate(_told(control.wait(watches), watches, ready), start=1)}
    return [dataclasses.replace(w, ready=ready[w], told=places.get(w, 0)) for w in watches]


def is_taken(watches: Iterable[Watch]) -> bool:
    """Did a look take something?"""
    return any(w.told and (w.edge or w.oneshot) for w in watches)


def in_order(watches: Iterable[Watch]) -> list[Watch]:
    """As they are told, and then the others."""
    return sorted(watches, key=lambda w: (not w.told, w.told))


def put(control: Control, watches: Sequence[Watch]) -> None:
    """Have exactly that told which was told, in that order, whatever is told now.

    But for what a file is ready for now, and was not then: the program has to hear of that.
    """
    told = [w for w in in_order(watches) if w.told]
    first = next((n for n, w in enumerate(told) if control.has_to_place(w)), len(told))
    for watch in told[first:]:
        if not watch.oneshot:
            control.arm(watch, watch.events | select.EPOLLET)
    if any(map(control.has_to_place, watches)):
        ready = control.ready(watches)
        taken = _told(control.wait(watches), watches, ready)
        new = [w for w in taken if not w.told and control.is_new(w, ready[w])]
        told += [w for w in new if w.edge or w.oneshot]
    for watch in told[first:]:
        control.arm(watch, watch.events)
    control.end()


def _told(
    events: list[tuple[int, int]], watches: Iterable[Watch], ready: dict[Watch, int]
) -> list[Watch]:
    """What events are of. What has the same data and is ready for the same is told together."""
    of: dict[int, list[Watch]] = defaultdict(list)
    for watch in watches:
        of[watch.data].append(watch)
    found: dict[Watch, None] = {}
    for mask, data in Counter(events):
        alike = [w for w in of[data] if w not in found]
        found |= dict.fromkeys([w for w in alike if ready[w] & w.events == mask] or alike)
    return list(found)

"""What is in the queue of a pod that stands still, which has it afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from ...linux import outside
from . import instance, queue
from .instance import Event
from .places import Place
from .queue import Filler
from .scratch import Scratch

Edit = Callable[[list[Event]], list[Event]]


def look(
    fd: int, at: dict[int, Place], watched: set[tuple[int, int]], edit: Edit = lambda events: events
) -> tuple[list[Event], int]:
    """The events, of which those stay that `edit` leaves, and the number of the next watch.

    `at` is where its watches are, `watched` are all directories in which nothing may happen.
    """
    with (
        instance.undisturbed(fd),
        Scratch(fd, watched) as scratch,
        contextlib.ExitStack() as stack,
    ):
        filler = queue.watch_filler(fd, scratch)
        events = _look(fd, filler, scratch, at, edit, stack)
        instance.set_next(fd, filler.number)
    return events, filler.number


def _look(
    fd: int,
    filler: Filler,
    scratch: Scratch,
    at: dict[int, Place],
    edit: Edit,
    stack: contextlib.ExitStack,
) -> list[Event]:
    before: list[Event] = []
    if not instance.waiting(fd):
        instance.remove(fd, filler.number)
        before = [e for e in instance.take(fd) if e.number != filler.number]
        if not before:
            return []
        filler = queue.watch_filler(fd, scratch, filler.number)  # somebody has done something
    masks = {watch.number: watch.mask for watch in instance.watches(fd)}
    held: dict[int, int] = {}
    for number, place in at.items():
        if number in masks:
            held[number] = _open(place)
            stack.callback(os.close, held[number])
    ended: list[int] = []

    def watch() -> None:
        for number, own in held.items():
            if number not in ended:
                instance.add(fd, b"/proc/self/fd/%d" % own, masks[number], number)

    events, gone = queue.take_with_watches(fd, filler, list(held))
    ended += gone
    events = edit(before + events)
    try:
        queue.put_back(fd, filler, scratch, events, watch)
    except BaseException:
        instance.take(fd)
        watch()
        raise
    return events


def _open(place: Place) -> int:
    own = place.file_id is not None
    return outside.open_file(place.now, os.O_PATH | (0 if own else os.O_NOFOLLOW))

"""The queue of an instance: taken, and put back.

To look at events is to take them, and nobody can write into a queue: events have to happen again, to
files of ours that are watched under the same numbers (scratch). Then the real watches have to take
these numbers, and a watch that goes leaves an event, too. But not in a queue that is full: with its
overflow told it tells nothing any more. So the queue is filled with events of a file of ours, the
filler, and these are read again:

    filler ... filler OVERFLOW              full: max_queued_events, and then that
    filler ... OVERFLOW                     n + 1 are read from the front
    filler ... OVERFLOW event ... event     n events are made: it is full again, watches change places
    event ... event                         all that was before them is read

An overflow that was in the queue is made at its place, and needs none of its own:

    filler ... event event OVERFLOW         full by some events; one more is read than come after it
    filler ... event event OVERFLOW event   full again

The cookies of moves are others than before, the same for both halves of one. If one half was read,
they do not meet again. In a queue that is full to the last event, an overflow is told one event early.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from . import instance
from .instance import Event
from .scratch import Scratch

_BATCH = 512
_SIZE = 16  # of an event without a name
_FILLS = instance.ACCESS | instance.MODIFY


@dataclass(frozen=True)
class Filler:
    """A file of ours that an instance watches: `number` is the one that it had next, at that time."""

    fd: int
    path: bytes
    number: int

    def fill(self, most: int | None = None) -> int:
        """So many events, or as many as go in with an overflow; how many there are in the queue now."""
        instance.add(self.fd, self.path, _FILLS)
        file = os.open(self.path, os.O_RDWR)
        made = 0
        try:
            while most is None or made < most:
                before = instance.waiting(self.fd)
                count = min(_BATCH, (most or _BATCH + made) - made)
                for _ in range(count):
                    if made % 2:
                        os.pread(file, 1, 0)
                    else:
                        os.pwrite(file, b"x", 0)
                    made += 1
                if most is None and instance.waiting(self.fd) < before + count * _SIZE:
                    break
        finally:
            instance.add(self.fd, self.path, instance.NOTHING)
            os.close(file)
        return instance.waiting(self.fd)


def watch_filler(fd: int, scratch: Scratch, number: int | None = None) -> Filler:
    path = scratch.file()
    return Filler(fd, path, instance.add(fd, path, instance.NOTHING, number))


def take_with_watches(fd: int, filler: Filler, numbers: list[int]) -> tuple[list[Event], list[int]]:
    """The events of the queue; and the watches of these numbers are gone, without an event.

    Those that had ended by themselves are told apart.
    """
    filler.fill()
    ended = []
    for number in numbers:
        try:
            instance.remove(fd, number)
        except OSError:  # by itself, just now: what was watched is gone
            ended.append(number)
    found: list[Event] = []
    ours = False
    most_of_ours = instance.as_read(filler.number, instance.ACCESS, instance.MODIFY)
    for event in instance.take(fd, most_of_ours):  # that begin with the other one of the two
        if event.number == filler.number:
            ours = True
        elif not event.mask & instance.OVERFLOW or not ours:
            found.append(event)
    told = {event.number for event in found if event.mask & instance.IGNORED}
    found += [Event(number, instance.IGNORED, 0, b"") for number in ended if number not in told]
    return found, ended


def put_back(
    fd: int, filler: Filler, scratch: Scratch, events: list[Event], watch: Callable[[], None]
) -> None:
    """Into an empty queue. `watch` adds the real watches; until then there is only the filler's."""
    events = [event for event in events if not event.mask & instance.UNMOUNT]
    at = next((i for i, e in enumerate(events) if e.mask & instance.OVERFLOW), None)
    most = filler.fill() // _SIZE - 1
    if at is None:
        _read(fd, min(len(events), most) + 1)
        scratch.make(events)
        left = most - len(events)
    else:
        _read(fd, most + 1)
        filler.fill(most - at)
        scratch.make(events[:at])
        filler.fill(2)  # which tells the overflow
        after = events[at + 1 :]
        if after:
            _read(fd, len(after) + 1)
            scratch.make(after)
        left = most - at - (len(after) + 1 if after else 0)
    for number in (*scratch.numbers, filler.number):
        instance.remove(fd, number)
    watch()
    _read(fd, left)


def _read(fd: int, count: int) -> None:
    """So many events of the filler, from the front."""
    while count > 0:
        count -= len(os.read(fd, min(count, _BATCH) * _SIZE)) // _SIZE

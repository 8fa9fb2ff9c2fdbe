"""What an image says of its pod, checked: the one place where States come in from outside.

Whatever looks at States comes by here (`show`, `check`, `restore`, and so a host server), and so what
one of them accepts, none of the others refuses for its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from .. import resources, shapes
from ..errors import BadImage
from ..image.image import Image
from ..linux import host, xstate
from ..resources.room import Room, Whole, bad
from ..shapes import NamesLiving, Seen, Size
from ..view.store import RECORD, Stored

Rooms = list[tuple[Room[Any], list[Any]]]
"""Each room with its States."""


@dataclass(frozen=True)
class PodFacts:
    """What the manifest tells of the pod."""

    name: Annotated[str, shapes.Length(0, 4096), shapes.NoNul()]
    root: NamesLiving
    tty: bool
    processes: Size
    threads: Size


@dataclass(frozen=True)
class Contents:
    """Of an image, all that is not bulk."""

    pod: PodFacts
    host: host.Facts
    rooms: Rooms
    stored: list[Stored]

    def states(self, name: str) -> list[Any]:
        """The States of one room."""
        return next((states for room, states in self.rooms if name == room.NAME), [])


def read(image: Image) -> Contents:
    """The contents of an image, every value of them checked. Raises BadImage."""
    known = {room.NAME for room in resources.ROOMS} | {RECORD}
    if unknown := sorted(set(image.rooms()) - known):
        raise _of_no_room("States", unknown)
    seen = Seen()
    pod = shapes.read(PodFacts, image.manifest["pod"], seen)
    made_on = shapes.read(host.Facts, image.manifest["host"], seen)
    registers = xstate.Layout.of(image.manifest["host"]["xsave"])
    stored = read_stored(image)
    rooms = read_rooms(image, resources.ROOMS, seen, stored, registers)
    seen.refuse_unknown()
    return Contents(pod, made_on, rooms, stored)


def read_rooms(
    image: Image,
    rooms: Sequence[Room[Any]],
    seen: Seen,
    stored: Sequence[Stored] = (),
    registers: xstate.Layout | None = None,
) -> Rooms:
    """These rooms and their States; `seen` has what they name and nothing may give."""
    whole = Whole({name: part.size for name, part in image.parts.items()}, seen, stored, registers)
    found: Rooms = []
    for room in rooms:
        states = [shapes.read(room.State, plain, seen) for plain in image.states(room.NAME)]
        if verify := getattr(room, "verify", None):
            verify(states, whole)
        found.append((room, states))
    return found


def read_stored(image: Image) -> list[Stored]:
    """What the lower halves of rooms had noted."""
    stored = [shapes.read(Stored, plain) for plain in image.states(RECORD)]
    if unknown := {entry.room for entry in stored} - {room.NAME for room in resources.ROOMS}:
        raise _of_no_room("notes", sorted(unknown))
    checks = {room.NAME: getattr(room, "is_note", _anything) for room in resources.ROOMS}
    for entry in stored:
        if not checks[entry.room](entry.key, entry.value):
            raise bad(
                f"it has a note of room {entry.room!r} that it cannot have",
                found=f"{entry.key[:40]!r}, with {len(entry.value)} bytes",
            )
    return stored


def _anything(_key: bytes, _value: bytes) -> bool:
    """Of a room that notes nothing nobody reads any."""
    return True


def _of_no_room(what: str, unknown: list[str]) -> BadImage:
    return bad(
        f"it has {what} of a room that there is not",
        ", ".join(room.NAME for room in resources.ROOMS),
        ", ".join(map(repr, unknown))[:200],
    )

"""The contract of a room: one kind of kernel-kept state, from capture to restore.

A room is a module with

    NAME                      its name in images and errors
    State                     a frozen dataclass of plain data; its annotations say what each value
                              may be (shapes.py): ranges, lengths, NULs, and what names what
    capture(pod)              -> list[State]; reads, and changes nothing in the pod
    restore(states, build)    registers its work with build.at(Stage, ...)

and, where a value alone does not tell whether it is right,

    verify(states, whole)     raises BadImage for States that cannot be together: an order, a sum, a
                              circle, a range of a part of the image

where its lower half notes things in the pod's store,

    is_note(key, value)       could it have noted that? Whoever reads a note does not look again

A *file kind* adds `claims(file) -> bool`: exactly one room claims an open file description.

`encode_state` is the only way a State goes into an image, and `pod/contents.py` the only one by which
it comes back: checked there, so that a damaged image ends before anything is made of it, and whoever
has a State may use it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..errors import BadImage
from ..shapes import Seen

if TYPE_CHECKING:
    from ..linux.xstate import Layout
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod
    from ..view.store import Stored

T = TypeVar("T")


class Room(Protocol[T]):
    """A room whose States are of class T."""

    @property
    def NAME(self) -> str: ...
    @property
    def State(self) -> type[T]: ...

    def capture(self, pod: FrozenPod, /) -> list[T]: ...
    def restore(self, states: list[T], build: Build, /) -> None: ...


class FileKind(Room[T], Protocol[T]):
    """A room of open file descriptions."""

    def claims(self, file: FrozenFile, /) -> bool: ...


@dataclass(frozen=True)
class Whole:
    """The image that States are of, for their `verify`."""

    parts: Mapping[str, int]
    """Bytes of each part, when decompressed."""
    seen: Seen
    stored: Sequence[Stored] = ()
    """What the lower halves of rooms had noted."""
    registers: Layout | None = None
    """How they lie in the States of threads."""

    def refuse_beyond(self, part: str, end: int) -> None:
        """Raises BadImage unless the first `end` bytes of a part are there."""
        size = self.parts.get(part)
        if size is None or end > size:
            raise bad(
                f"a State tells of bytes that part {part!r} does not have",
                f"a part of at least {end} bytes",
                "no such part" if size is None else f"{size} bytes",
            )

    def refuse_twice(self, what: str, numbers: Iterable[Hashable]) -> None:
        """Raises BadImage when one of them is there more than once."""
        found: set[Hashable] = set()
        for number in numbers:
            if number in found:
                raise bad(f"{what} {number} is there twice", "one of each")
            found.add(number)

    def give_once(self, kind: str, which: Iterable[Hashable]) -> None:
        """There are these of a kind, whatever room they are of, for `name`."""
        given = self.seen.given.setdefault(kind, set())
        for one in which:
            if one in given:
                raise bad(f"{kind} {one} is there twice", "one of each")
            given.add(one)

    def name(self, kind: str, which: Hashable) -> None:
        """Something that has to be there, whatever room it is of."""
        self.seen.named.add(((kind,), which))


def bad(what: str, needed: str | None = None, found: str | None = None) -> BadImage:
    """What `verify` raises."""
    return BadImage(f"bad image: {what}", needed=needed, found=found)


_SCALARS = frozenset({int, str, bytes, bool, type(None)})


def encode_state(state: object) -> Any:
    """`state` as maps, lists, ints, strings and bytes."""
    if type(state) in _SCALARS:
        return state
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        return {f.name: encode_state(getattr(state, f.name)) for f in dataclasses.fields(state)}
    if isinstance(state, dict):
        return {key: encode_state(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [encode_state(value) for value in state]
    return state

"""The store of a pod: what the lower halves of rooms noted (csrc/pod/store.h).

Entries are bytes under a room's name and a key of the room's own. `FrozenPod.store` and `Build.store`
show a room its own; the engine carries all of them through an image, so that a restored pod has them
again before any room works. Only from the tracer's thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..linux.native import Handle, ffi, lib
from ..shapes import Data, Word

RECORD = "store"
"""Of its record in an image, where rooms have theirs; no room has this name."""


@dataclass(frozen=True)
class Stored:
    """One entry."""

    room: Word
    key: Data
    value: Data


def read_store(pod: Handle) -> list[Stored]:
    """Every entry of a pod (the tracer's handle), in the order in which they were first put."""
    found = []
    store = lib.zt_pod_store(pod)
    entry = lib.zt_store_next(store, ffi.NULL)
    while entry:
        room = ffi.string(entry.room).decode()
        key = bytes(ffi.buffer(entry.key, entry.key_size))
        found.append(Stored(room, key, bytes(ffi.buffer(entry.value, entry.value_size))))
        entry = lib.zt_store_next(store, entry)
    return found


def fill_store(pod: Handle, entries: Iterable[Stored]) -> None:
    """Put entries into a pod. Raises MemoryError."""
    store = lib.zt_pod_store(pod)
    for entry in entries:
        room, key, value = entry.room.encode(), entry.key, entry.value
        if lib.zt_store_put(store, room, key, len(key), value, len(value)):
            raise MemoryError


def of_room(entries: Iterable[Stored], room: str) -> dict[bytes, bytes]:
    """The entries of one room."""
    return {entry.key: entry.value for entry in entries if entry.room == room}

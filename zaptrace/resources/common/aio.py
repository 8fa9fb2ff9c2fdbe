"""Which mappings are the rings of AIO contexts that the C half has noted (csrc/resources/aio.c)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...linux import procfs
    from ...view.frozen import FrozenPod, FrozenProcess

ROOM = "aio"

_KEY = struct.Struct("<iiQ")
_NOTED = struct.Struct("<QQ")


@dataclass(frozen=True)
class Noted:
    """Of a context: for how many requests it was made, and how many it was given since."""

    most: int
    given: int


def is_note(key: bytes, value: bytes) -> bool:
    return len(key) == _KEY.size and len(value) == _NOTED.size


def noted(pod: FrozenPod, process: FrozenProcess, m: procfs.Map) -> Noted | None:
    """What is known of the context whose ring is mapped here; None: it is another mapping, or a
    ring whose context is not this process's own."""
    if not m.name.startswith("/[aio]"):
        return None
    raw = pod.store(ROOM).get(_KEY.pack(process.vpid, 0, m.start))
    return Noted(*_NOTED.unpack(raw)) if raw else None

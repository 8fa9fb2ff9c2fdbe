"""Resource limits as far as this host grants them."""

from __future__ import annotations

import resource
import struct
from typing import TYPE_CHECKING, Annotated

from ...linux.program import Program
from ...shapes import I64, Length, Seen, Wrong

if TYPE_CHECKING:
    from ...view.frozen import FrozenProcess

_PAIR = struct.Struct("<qq")


class InOrder:
    """Soft and hard, as prlimit(2) takes them: for the kernel they have no sign."""

    def check(self, value: list[int], seen: Seen) -> None:
        numbers = [number % (1 << 64) for number in value]
        if numbers != sorted(numbers):
            raise Wrong("is no limit", "soft, and a hard one that is no lower", f"{value}")


Limit = Annotated[list[I64], Length(2), InOrder()]
"""Soft and hard; -1 is infinity."""


def limit_of(process: FrozenProcess, which: int) -> tuple[int, int]:
    """Of a process, which is asked itself where it is another user's and we may not (CAP_SYS_RESOURCE)."""
    try:
        return resource.prlimit(process.rpid, which)
    except PermissionError:
        program = Program()
        told = program.buffer(_PAIR.size)
        program.call("prlimit64", 0, which, 0, told)
        soft, hard = _PAIR.unpack(process.run(program).bytes(told))
        return soft, hard


def granted(rpid: int, which: int, soft: int, hard: int) -> tuple[int, int]:
    """A hard limit above this host's cannot be had without privilege; then this host's it is."""
    _own_soft, own_hard = resource.prlimit(rpid, which)
    infinite = resource.RLIM_INFINITY
    soft, hard = max(soft, infinite), max(hard, infinite)  # what has a sign is as good as that
    if own_hard != infinite and (hard == infinite or hard > own_hard):
        hard = own_hard
        soft = hard if soft == infinite or soft > hard else soft
    return soft, hard

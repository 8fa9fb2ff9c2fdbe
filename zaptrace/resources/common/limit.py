"""Resource limits as far as this host grants them."""

from __future__ import annotations

import resource
from typing import Annotated

from ...shapes import I64, Length, Seen, Wrong


class InOrder:
    """Soft and hard, as prlimit(2) takes them: for the kernel they have no sign."""

    def check(self, value: list[int], seen: Seen) -> None:
        numbers = [number % (1 << 64) for number in value]
        if numbers != sorted(numbers):
            raise Wrong("is no limit", "soft, and a hard one that is no lower", f"{value}")


Limit = Annotated[list[I64], Length(2), InOrder()]
"""Soft and hard; -1 is infinity."""


def granted(rpid: int, which: int, soft: int, hard: int) -> tuple[int, int]:
    """A hard limit above this host's cannot be had without privilege; then this host's it is."""
    _own_soft, own_hard = resource.prlimit(rpid, which)
    infinite = resource.RLIM_INFINITY
    soft, hard = max(soft, infinite), max(hard, infinite)  # what has a sign is as good as that
    if own_hard != infinite and (hard == infinite or hard > own_hard):
        hard = own_hard
        soft = hard if soft == infinite or soft > hard else soft
    return soft, hard

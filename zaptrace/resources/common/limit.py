"""Resource limits as far as this host grants them."""

from __future__ import annotations

import resource


def granted(rpid: int, which: int, soft: int, hard: int) -> tuple[int, int]:
    """A hard limit above this host's cannot be had without privilege; then this host's it is."""
    _own_soft, own_hard = resource.prlimit(rpid, which)
    infinite = resource.RLIM_INFINITY
    if own_hard != infinite and (hard == infinite or hard > own_hard):
        hard = own_hard
        soft = hard if soft == infinite or soft > hard else soft
    return soft, hard

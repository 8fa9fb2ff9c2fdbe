"""A rank test: are two groups of samples told apart by more than chance?

Mann and Whitney's U, two-sided. It asks nothing of how times are distributed. For small groups
without ties the chance is counted exactly, else approximated by the normal distribution with the
corrections for ties and for continuity.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache

EXACT_UP_TO = 20
"""Samples in the greater group up to which all orders are counted."""


def u_of(a: Sequence[float], b: Sequence[float]) -> float:
    """How many pairs have the one of `a` above the one of `b`; a tie is half a pair."""
    return sum((x > y) + 0.5 * (x == y) for x in a for y in b)


@cache
def _orders(u: int, n: int, m: int) -> int:
    """In how many orders of n and m things U is exactly u: the highest is one of the n, or not."""
    if u < 0 or u > n * m:
        return 0
    if n == 0 or m == 0:
        return 1
    return _orders(u - m, n - 1, m) + _orders(u, n, m - 1)


def p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """How likely groups from one source are to differ by as much, or more; 1 where one is empty."""
    n, m = len(a), len(b)
    if not n or not m:
        return 1.0
    u = u_of(a, b)
    ties = [count for count in Counter([*a, *b]).values() if count > 1]
    if not ties and max(n, m) <= EXACT_UP_TO:
        low = int(min(u, n * m - u))
        as_far = sum(_orders(k, n, m) for k in range(low + 1))
        return min(1.0, 2 * as_far / math.comb(n + m, n))
    together = n + m
    shrink = sum(t**3 - t for t in ties) / (together * (together - 1))
    variance = n * m / 12 * (together + 1 - shrink)
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))

"""Numbers of a pod and of this host, both ways, as code in a process can look them up: two flat tables.

    r2v[number that the kernel gives]    the pod's. Total: every number has one, so that who is born is
                                         known by it at once, in memory that the kernel writes, too
    v2r[number that a program gives]     the kernel's, of members alone; 0: ask the tracer

A restored pod has pairs. All other numbers stay what they are as far as they can: where a number is taken
as the pod's, the kernel's of that name has the one that the pairs leave over at the end of their chain.
"""

from __future__ import annotations

import array
from collections.abc import Iterable, Mapping

ENTRY = 4
"""Bytes; one aligned load reads it."""


def total(pairs: Mapping[int, int], most: int) -> dict[int, int]:
    """What a table of `most` numbers has that is not itself, as each of the kernel's has one of the pod's
    and no two the same. `pairs` are {the kernel's: the pod's}.

    Raises ValueError for numbers that are not in the table, or that two have.
    """
    back = {virtual: real for real, virtual in pairs.items()}
    if len(back) != len(pairs) or not all(0 < n < most for pair in pairs.items() for n in pair):
        raise ValueError("no pairs of numbers")
    found = dict(pairs)
    for virtual in back:
        if virtual in pairs:
            continue
        left = (
            virtual  # nobody's of the pod has it from the kernel: it gets what the chain began with
        )
        while left in back:
            left = back[left]
        found[virtual] = left
    return {real: virtual for real, virtual in found.items() if real != virtual}


def to_virtual(pairs: Mapping[int, int], most: int) -> bytes:
    """The table r2v."""
    table = array.array("i", range(most))
    for real, virtual in total(pairs, most).items():
        table[real] = virtual
    return table.tobytes()


def to_real(pairs: Mapping[int, int], members: Iterable[int], most: int) -> bytes:
    """The table v2r, of these numbers of the kernel's."""
    table = array.array("i", bytes(ENTRY * most))
    known = total(pairs, most)
    for real in members:
        table[known.get(real, real)] = real
    return table.tobytes()

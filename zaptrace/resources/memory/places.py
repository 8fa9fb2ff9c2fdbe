"""Places for memory that is mapped for a while: where nothing is, nor is to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...linux.addresses import TASK_SIZE
from ...linux.native import lib

_LOWEST = 1 << 32
_MARGIN = 1 << 20  # kept to what may grow


def free_places(taken: Iterable[tuple[int, int]], sizes: Iterable[int]) -> Iterator[int | None]:
    """One for each size, apart from one another and from the stub; None where there is none."""
    all_taken = [*taken, (lib.zt_stub_start(), lib.zt_stub_end()), (TASK_SIZE, TASK_SIZE)]
    ends = joined((max(0, start - _MARGIN), end + _MARGIN) for start, end in all_taken)
    free = list(
        zip([_LOWEST, *(end for _, end in ends)], [start for start, _ in ends], strict=False)
    )
    for size in sizes:
        i = next((i for i, (start, end) in enumerate(free) if end - start >= size), None)
        yield None if i is None else free[i][0]
        if i is not None:
            free[i] = (free[i][0] + size, free[i][1])


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What overlaps becomes one; what only touches stays two."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found

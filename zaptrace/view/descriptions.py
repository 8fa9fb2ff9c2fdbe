"""Which descriptors are one open file description.

Most are told apart by what they show. Of those that look alike kcmp(2) knows, and as it gives an
order, sorting finds the equal ones in n log n comparisons of a microsecond each.

Where kcmp is denied (the seccomp profile of a container), descriptions are numbered: F_SETSIG is kept
per description, takes 0 to 64 on every kind of file, and does nothing while nothing can raise the
signal. Every process writes numbers into its descriptors, one digit a round, and reads them back when
all have written: descriptors that read the same in every round are one. Then they get their old
values back. That takes two programs a process and round, of which each costs as much as fifty
comparisons. O_PATH descriptors have no such number, and share nothing that anybody could tell.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import itertools
import os
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import TraceeGone, UnsupportedResource
from ..ids import SUPERVISOR
from ..linux import native
from ..linux.native import NativeError
from ..linux.program import Program, Results

_F_SETSIG, _F_GETSIG = 10, 11
_BASE = 64
_MOST_ROWS = 8000


class Holder(Protocol):
    """The process that has a descriptor."""

    @property
    def lives_in(self) -> int: ...
    @property
    def vpid(self) -> int: ...
    @property
    def comm(self) -> str: ...
    def run(self, program: Program, /) -> Results: ...


class _Ourselves:
    """This process, for copies that it was given of descriptors of the pod."""

    vpid = SUPERVISOR
    comm = "zaptrace"

    @property
    def lives_in(self) -> int:
        return os.getpid()

    def run(self, program: Program) -> Results:
        """Of F_GETSIG and F_SETSIG only, which is all that is asked here."""
        rows = [tuple(arg for arg in args if isinstance(arg, int)) for _, args, _ in program.rows]
        return Results([fcntl.fcntl(fd, command, value) for fd, command, value in rows], b"")


OURSELVES = _Ourselves()


@dataclass(frozen=True)
class Descriptor:
    """`signals`: its description's signal may be raised at any time, so it must not be changed."""

    process: Holder
    fd: int
    shows: Hashable
    path_only: bool = False
    signals: bool = False


def same(descriptors: Sequence[Descriptor]) -> list[int]:
    """For each descriptor the index of the first one that is the same description (its own, mostly)."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for index, descriptor in enumerate(descriptors):
        alike[descriptor.shows].append(index)
    first = list(range(len(descriptors)))
    sets = [indices for indices in alike.values() if len(indices) > 1]
    try:
        for indices in sets:
            _by_order(descriptors, indices, first)
    except NativeError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS):
            raise
        first = list(range(len(descriptors)))
        _by_numbers(descriptors, sets, first)
    return first


def _by_order(descriptors: Sequence[Descriptor], indices: list[int], first: list[int]) -> None:
    def compare(one: int, other: int) -> int:
        a, b = descriptors[one], descriptors[other]
        return (0, -1, 1)[native.kcmp_files(a.process.lives_in, a.fd, b.process.lives_in, b.fd)]

    ordered = sorted(indices, key=functools.cmp_to_key(compare))  # stable: the first stays first
    for before, index in itertools.pairwise(ordered):
        if compare(before, index) == 0:
            first[index] = first[before]


def _by_numbers(descriptors: Sequence[Descriptor], sets: list[list[int]], first: list[int]) -> None:
    numbers: dict[int, int] = {}
    for indices in sets:
        fit = [i for i in indices if not descriptors[i].path_only]
        if any(descriptors[i].signals for i in fit) and len(fit) > 1:
            raise _cannot_tell(descriptors[fit[0]], descriptors[fit[1]])
        numbers.update({index: number for number, index in enumerate(fit)})
    if not numbers:
        return
    read: dict[int, tuple[int, ...]] = defaultdict(tuple)
    with _Signals(descriptors, list(numbers)) as signals:
        left = max(numbers.values())
        weight = 1
        while left or weight == 1:
            signals.write({i: number // weight % _BASE for i, number in numbers.items()})
            for index, digit in signals.read().items():
                read[index] += (digit,)
            left //= _BASE
            weight *= _BASE
    for indices in sets:
        known: dict[tuple[int, ...], int] = {}
        for index in indices:
            if index in numbers:
                first[index] = known.setdefault(read[index], index)


class _Signals:
    """F_GETSIG and F_SETSIG of many descriptors; as they were, at the end."""

    def __init__(self, descriptors: Sequence[Descriptor], indices: list[int]) -> None:
        self._descriptors = descriptors
        self._of: dict[Holder, list[int]] = defaultdict(list)
        for index in indices:
            self._of[descriptors[index].process].append(index)
        self._before: list[tuple[int, int]] = []

    def __enter__(self) -> _Signals:
        for process in self._of:
            self._before += self._get(process).items()
        return self

    def __exit__(self, *_: object) -> None:
        """All that one can read is what was there before anybody wrote."""
        before = dict(self._before)
        for process in self._of:
            with contextlib.suppress(TraceeGone):  # whatever it held is still right in the others
                self._set(process, before)

    def write(self, values: dict[int, int]) -> None:
        for process in self._of:
            self._set(process, values)

    def read(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for process in self._of:
            found |= self._get(process)
        return found

    def _get(self, process: Holder) -> dict[int, int]:
        found: dict[int, int] = {}
        for some in _pieces(self._of[process]):
            program = Program()
            rows = [program.call("fcntl", self._descriptors[i].fd, _F_GETSIG, 0) for i in some]
            results = process.run(program)
            found |= {index: results[row] for index, row in zip(some, rows, strict=True)}
        return found

    def _set(self, process: Holder, values: dict[int, int]) -> None:
        for some in _pieces(self._of[process]):
            program = Program()
            for index in some:
                program.call("fcntl", self._descriptors[index].fd, _F_SETSIG, values[index])
            process.run(program)


def _pieces(indices: list[int]) -> list[list[int]]:
    return [indices[at : at + _MOST_ROWS] for at in range(0, len(indices), _MOST_ROWS)]


def _cannot_tell(one: Descriptor, other: Descriptor) -> UnsupportedResource:
    a, b = one.process, other.process
    return UnsupportedResource(
        f"cannot checkpoint process {a.vpid} ({a.comm}), fd {one.fd} and process {b.vpid} ({b.comm}), "
        f"fd {other.fd}: it cannot be told if they share their position",
        needed="kcmp(2), as one of them has asked for signals (O_ASYNC, or a lease)",
        found=os.strerror(errno.EPERM),
        do="allow kcmp in the container's seccomp profile, or let the program do without O_ASYNC",
    )

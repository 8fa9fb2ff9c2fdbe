"""Which descriptors are one open file description.

Most are told apart by what they show. Of those that look alike kcmp(2) knows, and as it gives an
order, sorting finds the equal ones in n log n comparisons of a microsecond each.

Where kcmp is denied (the seccomp profile of a container), descriptions are numbered: F_SETSIG is kept
per description, takes 0 to 64 on every kind of file, and does nothing while nothing can raise the
signal. Every process writes numbers into its descriptors, one digit a round, and reads them back when
all have written: descriptors that read the same in every round are one. Then they get their old
values back. That takes two programs a process and round, of which each costs as much as fifty
comparisons. Where a signal may be raised (O_ASYNC, or a lease) the digits are binary, in O_APPEND:
what raises signals has no position to write at, and what is leased nobody else writes to.
O_PATH descriptors have no such number, and share nothing that anybody could tell.
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
_MOST_ROWS = 8000


@dataclass(frozen=True)
class Twin:
    """A number that may have something else for a moment: `other` leads to the same description."""

    number: int
    other: int
    cloexec: bool


class Holder(Protocol):
    """The process that has a descriptor."""

    @property
    def lives_in(self) -> int: ...
    @property
    def vpid(self) -> int: ...
    @property
    def comm(self) -> str: ...
    def run(self, program: Program, /) -> Results: ...
    def twin(self, below: int, /) -> Twin | None: ...


class _Ourselves:
    """This process, for copies that it was given of descriptors of the pod."""

    vpid = SUPERVISOR
    comm = "zaptrace"

    @property
    def lives_in(self) -> int:
        return os.getpid()

    def run(self, program: Program) -> Results:
        """Of fcntl(2) with numbers only, which is all that is asked here."""
        rows = [tuple(arg for arg in args if isinstance(arg, int)) for _, args, _ in program.rows]
        return Results([_fcntl(*row) for row in rows], b"")

    def twin(self, below: int) -> None:
        """We have numbers to spare."""


def _fcntl(fd: int, command: int, value: int) -> int:
    try:
        return fcntl.fcntl(fd, command, value)
    except OSError as error:
        return -(error.errno or errno.EIO)


OURSELVES = _Ourselves()


@dataclass(frozen=True)
class Descriptor:
    """`signals`: its description's signal may be raised at any time, so that is not changed."""

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


@dataclass(frozen=True)
class _Mark:
    """What is kept per description, and holds a digit for a moment: some bits of what `get` answers."""

    get: int
    set: int
    bits: int
    unit: int
    base: int

    def put(self, digit: int, before: int) -> int:
        return before & ~self.bits | digit * self.unit

    def digit(self, value: int) -> int:
        return (value & self.bits) // self.unit


_SIGNAL = _Mark(_F_GETSIG, _F_SETSIG, bits=127, unit=1, base=64)
_APPEND = _Mark(fcntl.F_GETFL, fcntl.F_SETFL, bits=os.O_APPEND, unit=os.O_APPEND, base=2)


def _by_numbers(descriptors: Sequence[Descriptor], sets: list[list[int]], first: list[int]) -> None:
    numbers: dict[_Mark, dict[int, int]] = {_SIGNAL: {}, _APPEND: {}}
    for indices in sets:
        fit = [i for i in indices if not descriptors[i].path_only]
        mark = _APPEND if any(descriptors[i].signals for i in fit) else _SIGNAL
        numbers[mark].update({index: number for number, index in enumerate(fit)})
    read: dict[int, tuple[int, ...]] = {}
    for mark, theirs in numbers.items():
        read |= _read_back(mark, descriptors, theirs)
    for indices in sets:
        known: dict[tuple[int, ...], int] = {}
        for index in indices:
            if index in read:
                first[index] = known.setdefault(read[index], index)


def _read_back(
    mark: _Mark, descriptors: Sequence[Descriptor], numbers: dict[int, int]
) -> dict[int, tuple[int, ...]]:
    """What each descriptor reads, digit by digit, when all have been written to."""
    read: dict[int, tuple[int, ...]] = dict.fromkeys(numbers, ())
    if not numbers:
        return read
    with _Marks(mark, descriptors, list(numbers)) as marks:
        left = max(numbers.values())
        weight = 1
        while left or weight == 1:
            marks.write({i: number // weight % mark.base for i, number in numbers.items()})
            for index, digit in marks.read().items():
                read[index] += (digit,)
            left //= mark.base
            weight *= mark.base
    return read


class _Marks:
    """A mark of many descriptors; as it was, at the end."""

    def __init__(self, mark: _Mark, descriptors: Sequence[Descriptor], indices: list[int]) -> None:
        self._mark = mark
        self._descriptors = descriptors
        self._of: dict[Holder, list[int]] = defaultdict(list)
        for index in indices:
            self._of[descriptors[index].process].append(index)
        self._before: dict[int, int] = {}

    def __enter__(self) -> _Marks:
        for process in self._of:
            self._before |= self._get(process)
        return self

    def __exit__(self, *_: object) -> None:
        """All that one can read is what was there before anybody wrote."""
        for process in self._of:
            with contextlib.suppress(TraceeGone):  # whatever it held is still right in the others
                self._set(process, self._before)

    def write(self, digits: dict[int, int]) -> None:
        values = {i: self._mark.put(digit, self._before[i]) for i, digit in digits.items()}
        for process in self._of:
            for index, error in self._set(process, values).items():
                raise _cannot_tell(self._descriptors[index], os.strerror(error))

    def read(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for process in self._of:
            found |= self._get(process)
        return {index: self._mark.digit(value) for index, value in found.items()}

    def _get(self, process: Holder) -> dict[int, int]:
        found: dict[int, int] = {}
        for some in _pieces(self._of[process]):
            program = Program()
            rows = [program.call("fcntl", self._descriptors[i].fd, self._mark.get, 0) for i in some]
            results = process.run(program)
            found |= {index: results[row] for index, row in zip(some, rows, strict=True)}
        return found

    def _set(self, process: Holder, values: dict[int, int]) -> dict[int, int]:
        """The errors, of those that do not take it."""
        failed: dict[int, int] = {}
        for some in _pieces(self._of[process]):
            program = Program()
            rows = [
                program.call(
                    "fcntl", self._descriptors[i].fd, self._mark.set, values[i], may_fail=True
                )
                for i in some
            ]
            results = process.run(program)
            failed |= {
                i: -results[row] for i, row in zip(some, rows, strict=True) if results[row] < 0
            }
        return failed


def _pieces(indices: list[int]) -> list[list[int]]:
    return [indices[at : at + _MOST_ROWS] for at in range(0, len(indices), _MOST_ROWS)]


def _cannot_tell(one: Descriptor, found: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot checkpoint process {one.process.vpid} ({one.process.comm}), fd {one.fd}: it cannot be "
        "told with which others it shares its position",
        needed="kcmp(2), as it has asked for signals (O_ASYNC, or a lease), or that its O_APPEND can "
        "be changed for a moment",
        found=found,
        do="allow kcmp in the container's seccomp profile, or let the program do without O_ASYNC",
    )

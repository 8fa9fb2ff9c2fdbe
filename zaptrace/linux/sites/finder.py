"""Where a file enters the kernel, and how each place could be made to jump elsewhere instead.

A *site* is a `syscall` instruction. What replaces one instruction by one of the same size is safe beside
running threads and blocked calls (none can be within it), and nothing else is done here:

    e    `syscall` (2 bytes) by `jmp rel8`, to a *pad* that has room for `jmp rel32`. Any number
    a    `mov $NUMBER, %eax` right before it by `jmp rel32`. The `syscall` itself stays
    a3   any other instruction of 5 bytes or more right before it, if it does the same elsewhere

A pad is what lies between two functions, where nobody comes: no-ops or int3 behind a function that ends by
leaving. Where functions begin is told by the file (elf.py). Of a function only those sites are told
that its instructions, one after another from its beginning to its end, lead to.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from .elf import Elf, NotElfError, Segment, parse
from .instructions import Instruction, Kind, UnknownInstructionError, decode

SYSCALL = b"\x0f\x05"
MOV_EAX = 0xB8
JUMP_SIZE = 5
"""Of `jmp rel32`."""
_NEAR = 128
_HIGHEST_NUMBER = 1024


class Shape(Enum):
    E = "e"
    A = "a"
    A3 = "a3"
    NONE = "none"
    """It stays as it is."""


@dataclass(frozen=True)
class Site:
    """All are offsets in the file. `nr` is the call, where that is written right before it."""

    at: int
    shape: Shape
    nr: int | None = None
    pad: int | None = None
    """Of shape e: JUMP_SIZE bytes that are its own."""
    displaced: int = 0
    """Of shapes a and a3: the size of the instruction before it."""


@dataclass(frozen=True)
class _Found:
    at: int
    before: Instruction | None
    nr: int | None


def find(data: bytes | memoryview) -> list[Site]:
    """The sites of a file, in their order; none of one that is no ELF file of ours."""
    try:
        elf = parse(data)
    except NotElfError:
        return []
    sites: list[Site] = []
    functions = elf.functions()
    for segment in elf.code():
        sites += _Code(elf, segment, functions).sites()
    return sites


class _Code:
    """A segment of code. Offsets are in the segment until the last moment."""

    def __init__(self, elf: Elf, segment: Segment, functions: list[tuple[int, int]]) -> None:
        self.segment = segment
        self.view = elf.data[segment.offset : segment.offset + segment.size]
        self.functions = [
            (start - segment.address, end - segment.address)
            for start, end in functions
            if start >= segment.address and end <= segment.address + segment.size
        ]
        self.starts = [start for start, _ in self.functions]
        self.known: dict[int, list[tuple[int, Instruction]] | None] = {}

    def instructions(self, index: int) -> list[tuple[int, Instruction]] | None:
        """Of a function, without what fills it up at its end; None: they cannot be told."""
        if index not in self.known:
            self.known[index] = self._decode(*self.functions[index])
        return self.known[index]

    def _decode(self, start: int, end: int) -> list[tuple[int, Instruction]] | None:
        found: list[tuple[int, Instruction]] = []
        code = bytes(self.view[start:end])
        at = 0
        while at < len(code):
            try:
                one = decode(code, at)
            except UnknownInstructionError:
                return None
            found.append((start + at, one))
            at += one.size
        while found and found[-1][1].kind is Kind.FILL:
            found.pop()
        return found

    def _holding(self) -> list[int]:
        """The functions, by index, in which the bytes of a `syscall` are."""
        code = bytes(self.view)
        found: list[int] = []
        at = code.find(SYSCALL)
        while at >= 0:
            index = bisect_right(self.starts, at) - 1
            if index >= 0 and at < self.functions[index][1] and (not found or found[-1] != index):
                found.append(index)
            at = code.find(SYSCALL, at + 1)
        return found

    def sites(self) -> list[Site]:
        found = [each for index in self._holding() for each in self._sites_of(index)]
        pads = assign([each.at for each in found], self._pads_near([each.at for each in found]))
        return [self._site(each, pads.get(each.at)) for each in found]

    def _sites_of(self, index: int) -> Iterator[_Found]:
        before: tuple[int, Instruction] | None = None
        for at, one in self.instructions(index) or ():
            if one.kind is Kind.SYSCALL and one.size == len(SYSCALL):
                yield _Found(at, before[1] if before else None, self._number(before))
            before = at, one

    def _number(self, before: tuple[int, Instruction] | None) -> int | None:
        if not before or before[1].size != JUMP_SIZE or self.view[before[0]] != MOV_EAX:
            return None
        nr = int.from_bytes(self.view[before[0] + 1 : before[0] + 5], "little")
        return nr if nr < _HIGHEST_NUMBER else None

    def _pads_near(self, sites: list[int]) -> list[int]:
        """Where a pad has room for a jump, in their order, as far as a site could reach it."""
        found: set[int] = set()
        looked: set[int] = set()
        for at in sites:
            index = max(bisect_left(self.starts, at - 2 * _NEAR) - 1, 0)
            while index < len(self.functions) and self.functions[index][0] < at + 2 * _NEAR:
                if index not in looked:
                    looked.add(index)
                    start, end = self._pad_behind(index)
                    found.update(range(start, end - JUMP_SIZE + 1, JUMP_SIZE))
                index += 1
        return sorted(found)

    def _pad_behind(self, index: int) -> tuple[int, int]:
        """From where the function has ended to where the next begins, or may begin."""
        one = self.instructions(index)
        if not one or one[-1][1].kind is not Kind.END:
            return 0, 0
        start = one[-1][0] + one[-1][1].size
        last = index + 1 == len(self.functions)
        next_start = len(self.view) if last else self.functions[index + 1][0]
        if not last and next_start - start <= _NEAR and self._is_fill(start, next_start):
            return start, next_start
        aligned = min(start + 15 & ~15, next_start)  # one that nobody told of would begin there
        return (start, aligned) if self._is_fill(start, aligned) else (0, 0)

    def _is_fill(self, start: int, end: int) -> bool:
        return self._decode(start, end) == []

    def _site(self, found: _Found, pad: int | None) -> Site:
        base = self.segment.offset
        at, before = found.at + base, found.before
        if pad is not None:
            return Site(at, Shape.E, found.nr, pad + base)
        if before and found.nr is not None:
            return Site(at, Shape.A, found.nr, displaced=JUMP_SIZE)
        movable = before and before.movable and before.kind is Kind.OTHER
        if before and movable and before.size >= JUMP_SIZE:
            return Site(at, Shape.A3, displaced=before.size)
        return Site(at, Shape.NONE, found.nr)


def assign(sites: list[int], slots: list[int]) -> dict[int, int]:
    """A slot of its own to as many sites as there can be: each reaches those of an interval, so
    whoever reaches least far takes the first that he reaches."""
    found: dict[int, int] = {}
    free = list(slots)
    for site in sorted(sites):
        after = site + len(SYSCALL)
        place = bisect_left(free, after - _NEAR)
        if place < len(free) and free[place] <= after + _NEAR - 1:
            found[site] = free.pop(place)
    return found

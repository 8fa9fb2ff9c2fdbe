"""What processes have in memory when their children are born, so that they share it by copy-on-write.

A child that was forked and has executed nothing since is restored as such a child again: its maker
(usually its parent) first gets the pages that are to be shared, the *seeds*, then the child is born,
with these pages, and at MEMORY each of them gets what differs. Nothing else could make two
processes share a page of private memory.

A page that some processes share is a seed of the nearest maker that they all descend from, be it
one of them or not. Where several need the same place, each is there when those are born that share
it (generations.py).

Seeds lie in *regions*: the mapping that holds them, as far as it reaches in any of the processes
that have it, writable. What a process maps there in the end is cut out of the region, never joined
from old and new: two mappings of different birth stay two, and mremap(2) over both fails.

Shared anonymous memory is inherited too, for there is no descriptor to hand over: whoever all its
users descend from maps it *whole*, at a place that is free in all of them, and each takes from there
what it maps.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ...view.build import Birth
from .generations import Bytes, Pages, Wanted, generations
from .mappings import Mapping, Object
from .places import free_places, joined
from .runs import Span, overlaid, split, unpack, within, without


class Whole(NamedTuple):
    """A shared anonymous object and where all of it is mapped, and what some map behind its end."""

    start: int
    object: Object
    size: int
    no_reserve: bool

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass
class Memory:
    """Of a process before the stage MEMORY: its regions and the pages in them, and objects."""

    regions: list[Span[Mapping]] = field(default_factory=list)
    pages: Pages = field(default_factory=list)
    wholes: dict[tuple[int, int], Whole] = field(default_factory=dict)


@dataclass
class _Life:
    """What a process has before the stage MEMORY, as it goes on making others."""

    seeded: Memory
    changes: dict[int, Pages] = field(default_factory=dict)
    later: dict[int, Memory] = field(default_factory=dict)
    """After these changes; by step, in their order."""

    def at(self, step: int) -> Memory:
        i = bisect.bisect_right(steps := [*self.later], step)
        return self.later[steps[i - 1]] if i else self.seeded

    @property
    def end(self) -> Memory:
        return next(reversed(self.later.values()), self.seeded)


class _Shared(NamedTuple):
    """A run of one process that another's part holds."""

    start: int
    end: int
    of: Bytes
    user: int
    mapping: Mapping


class Seeds:
    """`births`: of those memories that come to be by a fork alone."""

    def __init__(
        self,
        mappings: Map[int, list[Mapping]],
        births: Map[int, Birth],
        objects: Iterable[Object] = (),
    ) -> None:
        self._mappings = mappings
        self._births = births
        self._starts = {vpid: [m.start for m in found] for vpid, found in mappings.items()}
        self._lines: dict[int, list[int]] = {}
        self._wanted: dict[int, list[_Shared]] = defaultdict(list)
        self._reach: dict[tuple[int, Hashable], list[tuple[int, int]]] = defaultdict(list)
        for shared in self._all_shared():
            self._want(shared)
        self._wholes = self._place([one for one in objects if one.anonymous and one.size])
        self._joined = {key: joined(spans) for key, spans in self._reach.items()}
        self._born: dict[int, Memory] = {}
        self._lives: dict[int, _Life] = {}

    def sowers(self) -> set[int]:
        """Who gets seeds."""
        return {*self._wanted, *self._wholes}

    def inherited(self) -> set[tuple[int, int]]:
        """The objects that nobody else has to make."""
        return {whole.object.key for wholes in self._wholes.values() for whole in wholes}

    def born(self, vpid: int) -> Memory:
        """What it is born with."""
        line = self._line(vpid)
        for one in reversed(line):  # from the top, for a line may be long
            if one not in self._born:
                birth = self._births.get(one)
                self._born[one] = self._lives[birth.maker].at(birth.step) if birth else Memory()
                self._lives[one] = self._sow(one, self._born[one])
        return self._born[vpid]

    def seeded(self, vpid: int) -> Memory:
        """... when it has its first seeds."""
        return self._life(vpid).seeded

    def changes(self, vpid: int) -> dict[int, Pages]:
        """... what it gets just before it makes some of the others, by the step of that birth."""
        return self._life(vpid).changes

    def grown(self, vpid: int) -> Memory:
        """... and when it has made them all."""
        return self._life(vpid).end

    def _life(self, vpid: int) -> _Life:
        self.born(vpid)
        return self._lives[vpid]

    def locked(self, vpid: int) -> list[Mapping]:
        """What it locks as soon as it has its seeds: its children are born without the lock, and yet
        share the pages. Later that would be to copy them."""
        if vpid not in self.sowers():
            return []
        return [
            m
            for m in self._mappings.get(vpid, [])
            if m.has("lo") and not m.guards and self._is_whole(vpid, m)
        ]

    def _is_whole(self, vpid: int, m: Mapping) -> bool:
        """Is it all within a region, with no page that it was born with or will lose again?"""
        runs = [Span(start, end, True) for start, end, *_ in unpack(m.runs, m.start, m.end)]
        pages = [
            Span(max(start, m.start), min(end, m.end), of)
            for start, end, of in within(self.grown(vpid).pages, m.start, m.end)
        ]
        kept = any(born == of for _, _, of, born in split(pages, self.born(vpid).pages))
        return not (kept or without(pages, runs)) and any(
            start <= m.start and m.end <= end and of.backing == m.backing
            for start, end, of in self.grown(vpid).regions
        )

    # -- who needs what

    def _all_shared(self) -> Iterator[_Shared]:
        for vpid, mappings in self._mappings.items():
            for m in mappings:
                for start, end, owner, offset in unpack(m.runs, m.start, m.end):
                    if owner != vpid:
                        yield _Shared(start, end, Bytes(owner, offset - start), vpid, m)

    def _want(self, shared: _Shared) -> None:
        owner = shared.of.owner
        maker = self._nearest_of_both(shared.user, owner)
        theirs = self._mapping_at(owner, shared.start)
        if maker is None or theirs is None or theirs.backing != shared.mapping.backing:
            return
        if shared.end > theirs.end:
            return
        self._wanted[maker].append(shared)
        key = (self._line(maker)[-1], theirs.backing)
        self._reach[key] += [(m.start, m.end) for m in (theirs, shared.mapping)]

    def _line(self, vpid: int) -> list[int]:
        """It, its maker, and so on."""
        if vpid not in self._lines:
            line = [vpid]
            while (birth := self._births.get(line[-1])) is not None:
                line.append(birth.maker)
            self._lines[vpid] = line
        return self._lines[vpid]

    def _nearest_of_both(self, one: int, other: int) -> int | None:
        line = set(self._line(other))
        return next((vpid for vpid in self._line(one) if vpid in line), None)

    def _place(self, objects: list[Object]) -> dict[int, list[Whole]]:
        """Who maps which object whole, and where."""
        users: dict[tuple[int, int], set[int]] = defaultdict(set)
        no_reserve: set[tuple[int, int]] = set()
        sizes = {one.key: one.size for one in objects}
        for vpid, mappings in self._mappings.items():
            for m in mappings:
                if m.kind == "object":
                    users[m.object].add(vpid)
                    sizes[m.object] = max(sizes.get(m.object, 0), m.offset + m.end - m.start)
                    if m.has("nr"):
                        no_reserve.add(m.object)
        placed: dict[int, list[Whole]] = defaultdict(list)
        gaps = iter(self._gaps([sizes[one.key] for one in objects if users[one.key]]))
        for one in objects:
            found = iter(users[one.key])
            maker = next(found, None)
            start = next(gaps, None) if maker is not None else None
            for vpid in found:
                maker = self._nearest_of_both(vpid, maker) if maker is not None else None
            if maker is not None and start is not None:
                placed[maker].append(Whole(start, one, sizes[one.key], one.key in no_reserve))
        return placed

    def _gaps(self, sizes: list[int]) -> Iterator[int | None]:
        """Places that are free in every process, one for each size; None where there is none."""
        taken = [(m.start, m.end) for found in self._mappings.values() for m in found]
        return free_places(taken, sizes)

    def _mapping_at(self, vpid: int, address: int) -> Mapping | None:
        i = bisect.bisect_right(self._starts.get(vpid, []), address) - 1
        return self._mappings[vpid][i] if i >= 0 else None

    # -- what is sown

    def _sow(self, vpid: int, born: Memory) -> _Life:
        shared, wholes = self._wanted.get(vpid, []), self._wholes.get(vpid, [])
        if not shared and not wholes:
            return _Life(born)
        regions, wanted = list(born.regions), list[Wanted]()
        for one in sorted(shared, key=lambda one: (one.of.owner != vpid, one.start)):
            region = self._region(vpid, one)
            there = within(regions, region.start, region.end)
            if not there:
                bisect.insort(regions, region, key=lambda span: span.start)
            elif there != [region] and not _same(there, region):
                continue
            for step in self._births_to(vpid, one):
                wanted.append(Wanted(one.start, one.end, one.of, step))
        pages, changes = generations(wanted)
        objects = {whole.object.key: whole for whole in wholes}
        now = Memory(regions, overlaid(born.pages, pages), born.wholes | objects)
        life = _Life(now, changes)
        for step, change in changes.items():
            now = replace(now, pages=overlaid(now.pages, change))
            life.later[step] = now
        return life

    def _births_to(self, maker: int, shared: _Shared) -> set[int]:
        """At which it makes those that its user and its owner descend from."""
        found = set[int]()
        for vpid in {shared.user, shared.of.owner} - {maker}:
            line = self._line(vpid)
            found.add(self._births[line[line.index(maker) - 1]].step)
        return found

    def _region(self, vpid: int, shared: _Shared) -> Span[Mapping]:
        joined = self._joined[self._line(vpid)[-1], shared.mapping.backing]
        i = bisect.bisect_right(joined, (shared.start, 1 << 64)) - 1
        return Span(*joined[i], shared.mapping)


def _same(there: list[Span[Mapping]], region: Span[Mapping]) -> bool:
    if len(there) != 1 or there[0][:2] != region[:2]:
        return False
    return there[0].what.backing == region.what.backing

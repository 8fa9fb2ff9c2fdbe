"""The memory of a process made again: what it maps, then what is in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from ...errors import RestoreError
from ...image.writebehind import BITE
from ...linux import addresses, outside
from ...linux.native import lib
from ...linux.program import Argument, Program, Row, give_back
from ...view.build import Build, BuildProcess
from ..common import huge
from . import attributes, policies
from .generations import Bytes, Pages
from .mappings import PAGE, PROT_READ, PROT_WRITE, Mapping
from .runs import Span, split, unpack, unpack_pairs, within, without
from .seeds import Memory, Seeds, Whole
from .segments import Segments

_AT_FDCWD = -100
_MAP_SHARED, _MAP_PRIVATE, _MAP_DROPPABLE, _MAP_ANONYMOUS = 0x1, 0x2, 0x8, 0x20
_MAP_GROWSDOWN, _MAP_NORESERVE = 0x100, 0x4000
_MAP_FIXED_NOREPLACE = 0x100000
_MADV_DONTNEED, _MADV_POPULATE_WRITE = 4, 23
_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2
_IOV_MAX = 1024
_AT_ONCE = 200  # descriptors of one message
_MOST = 1 << 30  # bytes of one read


def sow(vpid: int, seeds: Seeds, process: BuildProcess, build: Build) -> None:
    """Before its children are born: the pages that they are to share with it, and with one another."""
    born, grown = seeds.born(vpid), seeds.seeded(vpid)
    filling = _Filling(process, build, {})
    filling.clear([*born.regions, *born.wholes.values()])
    new = without(grown.regions, born.regions)
    filling.receive(region.what for region in new)
    for key in grown.wholes.keys() - born.wholes.keys():
        filling.map_whole(grown.wholes[key])
    for start, end, m in new:
        filling.map(m, start, end, PROT_READ | PROT_WRITE)
        attributes.guarded_once(filling.program, m, start)
        attributes.before_contents(filling.program, m, start, end)
    filling.read(_unlike(grown.pages, born.pages))
    for m in seeds.locked(vpid):
        attributes.lock(filling.program, m)
    filling.finish()


def change(pages: Pages, process: BuildProcess, build: Build) -> None:
    """Just before a child is born that is to share these with it, or with those born next."""
    filling = _Filling(process, build, {})
    filling.read(pages)
    filling.finish()


def fill(
    mappings: list[Mapping],
    of: attributes.Attributes,
    places: list[policies.Policy],
    seeds: Seeds,
    process: BuildProcess,
    build: Build,
) -> None:
    """Stage MEMORY: all of it; of that the seeds lie in the process already."""
    memory, locked = seeds.grown(process.vpid), seeds.locked(process.vpid)
    mapped = {m.object for m in mappings if m.kind == "object"}
    wholes = {key: whole for key, whole in memory.wholes.items() if key in mapped}
    filling = _Filling(process, build, wholes)
    kept = {m.start for m in mappings if _is_kept(m, memory)}
    filling.clear([*(m for m in mappings if m.start in kept), *wholes.values()])
    filling.receive(m for m in mappings if m.start not in kept)
    segments = Segments(mappings, [*wholes.values()], process, build)
    segments.attach(filling.program)
    keys = attributes.Keys(filling.program, of.keys, mappings)
    for m in mappings:
        runs = [
            Span(run.start, run.end, Bytes(run.owner, run.offset - run.start))
            for run in unpack(m.runs, m.start, m.end)
        ]
        if m.kind == "segment":
            segments.map(filling.program, m)
        else:
            _fill_mapping(filling, m, runs, memory if m.start in kept else None)
        keys.protect(m)
        attributes.after_contents(filling.program, m, unpack_pairs(m.guards, m.start, m.end))
        if m not in locked:
            attributes.lock(filling.program, m)
    for whole in wholes.values():
        filling.program.call("munmap", whole.start, whole.size)
    segments.detach(filling.program)
    keys.finish()
    policies.load(filling.program, places)
    attributes.load(filling.program, of)
    filling.finish()
    last = Program()
    attributes.undo_vdso(last, of.vdso)
    attributes.seal(last, mappings)
    if last:
        process.run(last)
    done = Program()
    give_back(done)
    process.run(done)


def _fill_mapping(filling: _Filling, m: Mapping, runs: Pages, kept: Memory | None) -> None:
    """Map it, if it is not there already, and put its bytes there."""
    size = m.end - m.start
    if kept:
        here = within(kept.pages, m.start, m.end)
        here = [Span(max(s, m.start), min(e, m.end), of) for s, e, of in here]
        filling.drop(without(here, runs))
        runs = _unlike(runs, here)
        protection = PROT_READ | PROT_WRITE
    else:
        # Memory that was not accounted as writable is not made so for a moment either.
        protection = m.protection | (PROT_WRITE if m.has("ac") and not m.shared else 0)
        filling.map(m, m.start, m.end, protection)
        attributes.guarded_once(filling.program, m, m.start)
        if protection != m.protection and not runs and m.kind == "anonymous" and not m.huge:
            filling.touch(m)
    attributes.before_contents(filling.program, m, m.start, m.end)
    if protection & PROT_WRITE:
        filling.read(runs)
    else:
        filling.write_aside(runs)
    if protection != m.protection:
        filling.program.call("mprotect", m.start, size, m.protection)


def _is_kept(m: Mapping, memory: Memory) -> bool:
    if m.shared:
        return False
    there = within(memory.regions, m.start, m.end)
    return (
        len(there) == 1
        and there[0].start <= m.start
        and m.end <= there[0].end
        and there[0].what.backing == m.backing
    )


def _unlike(pages: Pages, there: Pages) -> Pages:
    """What of `pages` is not there yet."""
    return [Span(s, e, of) for s, e, of, same in split(pages, there) if same != of]


class _Read(NamedTuple):
    """Bytes of a part that are to be in memory."""

    address: int
    size: int
    part: str
    offset: int


class _Filling:
    """Rows of one process: what is mapped, and read into it from the parts of the image."""

    def __init__(
        self, process: BuildProcess, build: Build, wholes: dict[tuple[int, int], Whole]
    ) -> None:
        self.program = Program()
        self._wholes = wholes
        self._process = process
        self._build = build
        self._parts: dict[str, Row] = {}
        self._objects: dict[Hashable, int] = {}
        self._reads: list[tuple[Row, _Read]] = []
        self._aside: Pages = []

    def clear(self, keep: Iterable[Span[Mapping] | Mapping | Whole]) -> None:
        """Nothing but these, and the stub, is mapped."""
        stub = (lib.zt_stub_start(), lib.zt_stub_end())
        at = 0
        kept = [(one.start, one.end) for one in keep]
        for start, end in sorted([stub, *kept, (addresses.end(), addresses.end())]):
            if at < start:
                self.program.call("munmap", at, start - at)
            at = end

    def receive(self, mappings: Iterable[Mapping]) -> None:
        """Descriptors of the objects that these are of."""
        wanted = {_descriptor_of(m): m for m in mappings if self._is_passed(m)}
        objects, numbers = [*wanted.values()], list[int]()
        for first in range(0, len(objects), _AT_ONCE):
            numbers += self._receive_some(objects[first : first + _AT_ONCE])
        self._objects = dict(zip(wanted, numbers, strict=True))

    def _receive_some(self, mappings: list[Mapping]) -> list[int]:
        fds: list[int] = []
        with contextlib.ExitStack() as opened:
            for m in mappings:
                fd = self._object(m)
                if m.shared and not m.may_write and _can_write(fd):
                    with contextlib.suppress(PermissionError):
                        fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
                        opened.callback(os.close, fd)
                fds.append(fd)
            return self._build.pass_files(self._process, fds)

    def _is_passed(self, m: Mapping) -> bool:
        """Does it come from us? A file that has a name only where its mode does not let it be opened."""
        known = m.kind == "file" and self._build.has_inode(m.device, m.inode)
        return known or (m.kind == "object" and m.object not in self._wholes)

    def _object(self, m: Mapping) -> int:
        fd = self._build.inode(m.device, m.inode)
        if fd is None:
            vpid = self._process.vpid
            raise RestoreError(
                f"cannot restore process {vpid}: a shared object that it maps is missing",
                vpid=vpid,
                needed=f"the object that was inode {m.inode}",
                found="no room that provides it",
            )
        return fd

    def map(self, m: Mapping, start: int, end: int, protection: int) -> None:
        flags = _MAP_FIXED_NOREPLACE | (_MAP_SHARED if m.shared else _MAP_PRIVATE)
        flags |= _MAP_NORESERVE if m.has("nr") else 0
        flags |= _MAP_GROWSDOWN if m.has("gd") else 0
        size, offset = end - start, m.offset + start - m.start
        if m.kind == "anonymous":
            if m.has("dp"):
                flags = _MAP_FIXED_NOREPLACE | _MAP_DROPPABLE
            flags |= _MAP_ANONYMOUS | huge.flags(m.huge, self._build)
            self.program.call("mmap", start, size, protection, flags, -1, 0)
        elif whole := self._wholes.get(m.object):
            # Of shared memory a length of none means: once more, there.
            place = whole.start + offset
            flags = _MREMAP_MAYMOVE | _MREMAP_FIXED
            self.program.call("mremap", place, 0, size, flags, start)
            self.program.call("mprotect", start, size, protection)
        elif (number := self._objects.get(_descriptor_of(m))) is not None:
            self.program.call("mmap", start, size, protection, flags, number, offset)
        else:
            path = self.program.string(m.path)
            fd = self.program.call("openat", _AT_FDCWD, path, m.open_mode | os.O_CLOEXEC, 0)
            self.program.call("mmap", start, size, protection, flags, fd, offset)
            self.program.call("close", fd)

    def map_whole(self, whole: Whole) -> None:
        """Shared anonymous memory, with its contents."""
        size = whole.object.size
        flags = _MAP_SHARED | _MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
        flags |= _MAP_NORESERVE if whole.no_reserve else 0
        self.program.call("mmap", whole.start, size, PROT_READ | PROT_WRITE, flags, -1, 0)
        if whole.size > size:  # a mapping that grows leaves its object as it is
            self.program.call("mremap", whole.start, size, whole.size, 0, 0)
        for start, end, _, offset in unpack(whole.object.runs, 0, size):
            for at in range(start, end, _MOST):
                length = min(_MOST, end - at)
                place = [(whole.start + at, length)]
                self._read(whole.object.part, offset + at - start, place, length)

    def drop(self, spans: Pages) -> None:
        """Pages that the process was born with and does not have."""
        for start, end, _ in spans:
            self.program.call("madvise", start, end - start, _MADV_DONTNEED)

    def touch(self, m: Mapping) -> None:
        """Anonymous memory that nobody ever wrote to is not accounted when it becomes read-only."""
        self.program.call("madvise", m.start, PAGE, _MADV_POPULATE_WRITE, may_fail=True)
        self.program.call("madvise", m.start, PAGE, _MADV_DONTNEED)

    # -- contents: here alone bytes of private memory are put back (and in a rehearsal few of many)

    def read(self, spans: Pages) -> None:
        """By the process itself, into pages that it may write."""
        waiting: list[tuple[int, int]] = []
        size = at = 0
        of: Bytes | None = None
        for start, end, here in spans:
            for first in range(start, end, _MOST):
                last = min(end, first + _MOST)
                offset = first + here.distance
                follows = of and of.owner == here.owner and at + size == offset
                if not follows or len(waiting) == _IOV_MAX or size + last - first > _MOST:
                    self._read(part_of(of.owner) if of else "", at, waiting, size)
                    waiting, size, at, of = [], 0, offset, here
                waiting.append((first, last - first))
                size += last - first
        self._read(part_of(of.owner) if of else "", at, waiting, size)

    def _read(self, part: str, offset: int, places: list[tuple[int, int]], size: int) -> None:
        if not places:
            return
        fd, wanted = self._part(part), self._build.needed(size)
        if len(places) == 1:
            row = self.program.call("pread64", fd, places[0][0], wanted, offset)
        else:
            vector = bytearray()
            left = wanted
            for start, length in places:
                if left <= 0:
                    break
                vector += struct.pack("<QQ", start, min(length, left))
                left -= length
            data = self.program.data(bytes(vector))
            row = self.program.call("preadv", fd, data, len(vector) // 16, offset, 0)
        self._reads.append((row, _Read(places[0][0], wanted, part, offset)))

    def write_aside(self, spans: Pages) -> None:
        """By the tracer, who may write also where the process may not; when all is mapped."""
        self._aside += spans

    def _write_aside(self) -> None:
        if not self._aside:
            return
        memory = os.open(f"/proc/{self._process.rpid}/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            for start, end, of in self._aside:
                name = part_of(of.owner)
                path = self._build.image.path(name)
                part = outside.open_file(path, os.O_RDONLY, (stat.S_IFREG,))
                try:
                    end = start + self._build.needed(end - start)
                    while start < end:
                        wanted = _Read(start, min(BITE, end - start), name, start + of.distance)
                        data = os.pread(part, wanted.size, wanted.offset)
                        if not data or os.pwrite(memory, data, start) != len(data):
                            raise self._failed(wanted, len(data))
                        start += len(data)
                finally:
                    os.close(part)
        finally:
            os.close(memory)

    def _part(self, name: str) -> Argument:
        if name not in self._parts:
            path = self.program.string(self._build.image.path(name))
            flags = os.O_RDONLY | os.O_CLOEXEC
            self._parts[name] = self.program.call("openat", _AT_FDCWD, path, flags, 0)
        return self._parts[name]

    def finish(self) -> None:
        opened: list[Argument] = [*self._parts.values(), *self._objects.values()]
        for fd in opened:
            self.program.call("close", fd)
        results = self._process.run(self.program)
        for row, wanted in self._reads:
            if results[row] != wanted.size:
                raise self._failed(wanted, results[row])
        self._write_aside()

    def _failed(self, wanted: _Read, got: int) -> RestoreError:
        there = outside.stat(self._build.image.path(wanted.part)).st_size
        return RestoreError(
            f"cannot restore process {self._process.vpid}: "
            f"its pages at {wanted.address:#x} could not be read",
            vpid=self._process.vpid,
            needed=f"{wanted.size} bytes, from {wanted.offset} on in {wanted.part}",
            found=f"{got} bytes; {wanted.part} has {there}",
        )


def _can_write(fd: int) -> bool:
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def part_of(vpid: int) -> str:
    return f"pages-{vpid}"


def _descriptor_of(m: Mapping) -> Hashable:
    """Descriptors of one object: one to read it, or to read and write."""
    return (*m.object, m.shared and not m.may_write)

"""Shared memory and files without a path: their contents travel once, whoever maps them.

No descriptor of theirs is at hand (those that have one are carried by its room), so they are read
through the mappings. Of memory that is a file in memory, only what is resident is read: reading a
hole would fill it. What cannot be read is beyond the end of the object, and nothing else: where that
end is, is found by looking, and everything before it has to be readable.
Not carried: the bytes under a written page, or a guard page, of a private mapping, when nobody maps
that part of the object otherwise (they read as zeros when such a page is dropped).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...image.sink import Writer
from ...image.writebehind import BITE
from ...linux import outside, procfs
from ...linux.native import lib
from ...linux.program import Program, give_back
from ...view.frozen import FrozenPod, FrozenProcess
from ..common import huge, nameless
from ..common.inode import Inode
from .mappings import HUGE_ANONYMOUS, PAGE, Object, is_anonymous_object
from .pages import Pages, unreadable
from .runs import Run, Span, pack, split, unpack, without

if TYPE_CHECKING:
    from ...view.build import Build

_LOOK = 1 << 14  # pages that are asked about in one program
_ZEROS = bytes(BITE)
_MREMAP_MAYMOVE = 1
_MEMORY = (b"/memfd:", b"/dev/zero", b"[anon_shmem", os.fsencode(HUGE_ANONYMOUS))
"""Names of what never was a file."""


class User:
    """A mapping of an object; offsets are of the object."""

    def __init__(
        self,
        process: FrozenProcess,
        m: procfs.Map,
        own: list[tuple[int, int]],
        guards: list[tuple[int, int]],
    ) -> None:
        self.process = process
        self.map = m
        self.start = m.offset
        self.end = m.offset + m.size
        self.guards = self._spans(guards)
        hidden = sorted([*self._spans(own), *self.guards])
        self.seen = without([Span(self.start, self.end, True)], hidden)
        """What shows the object: not pages of the process's own, nor guard pages."""
        self.within = max((self.offset(end) for _, end in own), default=self.start)
        """The object does not end before: behind its end a process has no pages of its own."""

    def _spans(self, ranges: list[tuple[int, int]]) -> list[Span[bool]]:
        return [Span(self.offset(start), self.offset(end), True) for start, end in ranges]

    def offset(self, address: int) -> int:
        return address - self.map.start + self.map.offset

    def address(self, offset: int) -> int:
        return offset - self.map.offset + self.map.start


class Objects:
    def __init__(self, pod: FrozenPod) -> None:
        self._pod = pod
        self._users: dict[Inode, list[User]] = {}
        self._in_memory = _in_memory_devices()

    def add(
        self,
        inode: Inode,
        process: FrozenProcess,
        m: procfs.Map,
        own: list[tuple[int, int]],
        guards: list[tuple[int, int]],
    ) -> None:
        """`m` maps an object, but has its own pages and guard pages in these address ranges."""
        carried = inode.files or inode.executed_by  # by the room of its descriptor, or process
        if inode.path is not None or not carried:
            self._users.setdefault(inode, []).append(User(process, m, own, guards))

    def capture(self) -> list[Object]:
        return [self._object(*item) for item in self._users.items()]

    def _object(self, inode: Inode, users: list[User]) -> Object:
        part = f"object-{inode.key[0]:x}-{inode.key[1]}"
        with self._pod.image.part(part) as writer:
            reader = _Reader(writer, self._is_in_memory(users[0].map))
            for user in users:
                reader.read(user)
            for user in users:
                reader.read_behind_guards(user)
        anonymous = all(is_anonymous_object(user.map) for user in users)
        if anonymous and not reader.end and all(user.start for user in users):
            reader.end = PAGE  # it ends before all that is mapped of it: /dev/zero, with an offset
        return Object(
            device=inode.key[0],
            inode=inode.key[1],
            path=b"" if inode.path is not None or inode.was.startswith(_MEMORY) else inode.was,
            name=os.fsdecode(inode.was.rpartition(b"/")[2].removeprefix(b"memfd:")) or "shared",
            anonymous=anonymous and reader.end > 0,
            code=any("x" in user.map.permissions for user in users),
            size=reader.end,
            part=part,
            runs=pack(sorted(reader.runs)),
            huge=users[0].map.huge,
        )

    def _is_in_memory(self, m: procfs.Map) -> bool:
        """Whether what is not resident (nor swapped out) is a hole. Of huge pages mincore(2) tells
        only which the process has looked at."""
        if m.huge:
            return False
        internal = m.name.startswith("/memfd:") or is_anonymous_object(m)
        return internal or m.device in self._in_memory


class _Reader:
    """Saves an object, of which each user shows something. `end` is the object's, as far as known."""

    def __init__(self, writer: Writer, sparse: bool) -> None:
        self._writer = writer
        self._sparse = sparse
        self._seen: list[Span[bool]] = []
        self._written = 0
        self.end = 0
        self.runs: list[Run] = []

    def read(self, user: User) -> None:
        self.end = max(self.end, user.within if user.within > user.start else 0)
        new = without(user.seen, self._seen)
        if not new:
            return
        pages = Pages(user.process)
        try:
            here = _Look(user, pages, self._sparse)
            self.end = max(self.end, here.end)
            for start, stop, _, unseen in split(here.resident, new):
                if unseen:
                    self._save(user, pages, start, stop)
        finally:
            pages.close()
        self._seen = sorted([*self._seen, *new])

    def _save(self, user: User, pages: Pages, start: int, stop: int) -> None:
        for at in range(start, stop, BITE):
            size = min(BITE, stop - at)
            data = memoryview(bytearray(size))
            address = user.address(at)
            pages.gather([(address, address + size, lib.ZT_RUN_OFTEN)], data)
            if data.tobytes() != _ZEROS[:size]:
                self._writer.write(data)
                self.runs.append(Run(at, at + size, 0, self._written))
                self._written += size

    def read_behind_guards(self, user: User) -> None:
        """What nobody sees now, through another mapping, made for a moment."""
        if not user.map.shared:
            return
        for start, end, _ in without(user.guards, self._seen):
            program = Program()
            size = end - start
            row = program.call("mremap", user.address(start), 0, size, _MREMAP_MAYMOVE, 0)
            address = user.process.run(program)[row]
            try:
                twin = replace(user.map, start=address, end=address + size, offset=start)
                self.read(User(user.process, twin, [], []))
            finally:
                program = Program()
                program.call("munmap", address, size)
                user.process.run(program)


class _Look:
    """What of its object a mapping shows: `resident` holds data, as far as `end`, the object's."""

    def __init__(self, user: User, pages: Pages, sparse: bool) -> None:
        self._user = user
        self._pages = pages
        looked = sparse and not user.map.swapped
        self.resident = list(_resident(user)) if looked else user.seen
        self.end = self._find()
        self.resident = without(self.resident, [Span(self.end, max(self.end, user.end), True)])

    def _find(self) -> int:
        """Every page seen before it can be read, and none behind it; 0: it lies before all."""
        offsets = [
            range(max(span.start, self._user.within), span.end, PAGE)
            for span in self._user.seen
            if span.end > self._user.within
        ]
        count = sum(map(len, offsets))
        if not count or self._readable(offsets[-1][-1]):
            return self._user.end
        low, high = 0, count - 1
        while low < high:
            middle = (low + high) // 2
            if self._readable(_nth(offsets, middle)):
                low = middle + 1
            else:
                high = middle
        for page in range(low, count):
            if self._readable(at := _nth(offsets, page)):
                address = self._user.address(_nth(offsets, low))
                raise unreadable(self._user.process, address, self._user.address(at))
        if low:
            return _nth(offsets, low - 1) + PAGE
        return self._user.within if self._user.within > self._user.start else 0

    def _readable(self, offset: int) -> bool:
        return self._pages.readable(self._user.address(offset))


def _nth(ranges: list[range], index: int) -> int:
    for one in ranges:
        if index < len(one):
            return one[index]
        index -= len(one)
    raise IndexError(index)


def _resident(user: User) -> Iterator[Span[bool]]:
    """What is in memory of what the mapping shows, by mincore(2)."""
    for start, end, _ in user.seen:
        since: int | None = None
        for first in range(start, end, _LOOK * PAGE):
            size = min(_LOOK * PAGE, end - first)
            program = Program()
            vector = program.buffer(size // PAGE)
            program.call("mincore", user.address(first), size, vector)
            found = user.process.run(program).bytes(vector)
            at = 0
            while at < len(found):
                here = found[at] & 1
                stop = found.find(b"\0" if here else b"\1", at)
                stop = len(found) if stop < 0 else stop
                if here and since is None:
                    since = first + at * PAGE
                if not here and since is not None:
                    yield Span(since, first + at * PAGE, True)
                    since = None
                at = stop
        if since is not None:
            yield Span(since, end, True)
    program = Program()
    give_back(program)
    user.process.run(program)


def _in_memory_devices() -> set[int]:
    found: set[int] = set()
    for line in procfs.read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "tmpfs":
            major, minor = map(int, before.split()[2].split(":"))
            found.add(os.makedev(major, minor))
    return found


# -- restore


def make(object_: Object, build: Build) -> None:
    """What nobody inherits: a file without a name where it was a file, else a memfd."""
    with contextlib.ExitStack() as stack:
        fd = None
        if object_.path:
            file = stack.enter_context(nameless.regular(object_.path, quiet=build.rehearsal))
            if not object_.code or not os.fstatvfs(file.fd).f_flag & os.ST_NOEXEC:
                fd = os.dup(file.fd)
        if fd is None:
            fd = huge.memfd(object_.name, 0, object_.huge, build)
        build.provide_inode(object_.device, object_.inode, fd)
        _load(object_, build, fd)


def _load(object_: Object, build: Build, fd: int) -> None:
    os.ftruncate(fd, object_.size)
    write = huge.writer(fd, object_.huge)
    source = outside.open_file(build.image.path(object_.part), os.O_RDONLY, (stat.S_IFREG,))
    try:
        for run in unpack(object_.runs, 0, object_.size):
            at, left = run.offset, build.needed(run.end - run.start)
            while left:
                data = os.pread(source, min(BITE, left), at)
                if not data:
                    raise OSError(f"part {object_.part} is shorter than its runs")
                write(data, run.start + at - run.offset)
                at += len(data)
                left -= len(data)
    finally:
        os.close(source)

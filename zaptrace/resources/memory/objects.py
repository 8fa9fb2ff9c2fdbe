"""What is mapped and has no name, nor a descriptor in the pod: shared memory and removed files.

It is read through the processes that map it: first where it is mapped shared, then the pages that a
private mapping has not written, and only where there is nothing else a process's own copy. A page
that cannot be read lies beyond its end. What nobody maps nobody can see: it is left out.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass

from ...linux.native import NativeError
from ...linux.procfs import Map
from ...view.build import Build
from ...view.frozen import FrozenPod, FrozenProcess
from ..common import nameless
from ..common.content import load
from ..common.inode import Inode

PAGE = mmap.PAGESIZE
_BITE = PAGE * 64
_MEMORY = (b"/memfd:", b"/dev/zero")
"""Names of what never was a file."""


@dataclass(frozen=True)
class Object:
    device: int
    inode: int
    path: bytes
    """Where a removed file was; empty for memory."""
    name: str
    code: bool
    size: int
    part: str
    runs: list[list[int]]  # [offset, length], in the order of the part


@dataclass(frozen=True)
class User:
    """A mapping of it; `own` are the pages of a private one that differ, as [start, end, ...]."""

    process: FrozenProcess
    map: Map
    own: list[list[int]]


@dataclass(frozen=True)
class _Window:
    """A stretch of the object, and where it shows in a process."""

    begin: int
    end: int
    process: FrozenProcess
    address: int


def save_object(pod: FrozenPod, inode: Inode, users: list[User]) -> Object:
    part = f"object-{inode.key[0]:x}-{inode.key[1]}"
    runs: list[list[int]] = []
    size = 0
    with pod.image.part(part) as writer:
        for window in _windows(users):
            for begin in range(window.begin, window.end, _BITE):
                length = min(_BITE, window.end - begin)
                address = window.address + begin - window.begin
                for at, data in _read(window.process, address, length):
                    offset = begin + at - address
                    size = max(size, offset + len(data))
                    if data.count(0) != len(data):  # a hole and a page of zeros are the same
                        writer.write(data)
                        if runs and sum(runs[-1]) == offset:
                            runs[-1][1] += len(data)
                        else:
                            runs.append([offset, len(data)])
    was = inode.was
    is_memory = not was or was.startswith(_MEMORY)
    return Object(
        device=inode.key[0],
        inode=inode.key[1],
        path=b"" if is_memory else was,
        name=os.fsdecode(was.rpartition(b"/")[2].removeprefix(b"memfd:")) or "shared",
        code=any("x" in user.map.permissions for user in users),
        size=size,
        part=part,
        runs=runs,
    )


def _windows(users: list[User]) -> list[_Window]:
    """Each stretch that somebody maps, once, in order."""
    found: list[_Window] = []
    for showing in (_shared, _unwritten, _own):
        for user in users:
            for start, end in showing(user):
                begin = user.map.offset + start - user.map.start
                for first, last in _gaps(found, begin, begin + end - start):
                    address = start + first - begin
                    found.append(_Window(first, last, user.process, address))
        found.sort(key=lambda window: window.begin)
    return found


def _shared(user: User) -> Iterator[tuple[int, int]]:
    if user.map.shared:
        yield user.map.start, user.map.end


def _unwritten(user: User) -> Iterator[tuple[int, int]]:
    if user.map.shared:
        return
    at = user.map.start
    for start, end, *_ in user.own:
        if at < start:
            yield at, start
        at = end
    if at < user.map.end:
        yield at, user.map.end


def _own(user: User) -> Iterator[tuple[int, int]]:
    for start, end, *_ in user.own:
        yield start, end


def _gaps(found: list[_Window], begin: int, end: int) -> list[tuple[int, int]]:
    """What of begin..end no window shows yet."""
    gaps = []
    for window in sorted(found, key=lambda window: window.begin):
        if window.end <= begin or window.begin >= end:
            continue
        if begin < window.begin:
            gaps.append((begin, window.begin))
        begin = max(begin, window.end)
    if begin < end:
        gaps.append((begin, end))
    return gaps


def _read(process: FrozenProcess, address: int, size: int) -> Iterator[tuple[int, bytes]]:
    """(address, data) of what can be read."""
    with contextlib.suppress(NativeError):
        yield address, process.read(address, size)
        return
    if size > PAGE:
        half = size // 2 // PAGE * PAGE
        yield from _read(process, address, half)
        yield from _read(process, address + half, size - half)
        return
    with contextlib.suppress(OSError), open(f"{process.proc}/mem", "rb", buffering=0) as memory:
        data = os.pread(memory.fileno(), size, address)  # without permission to read, too (proc(5))
        if len(data) == size:
            yield address, data


def make_object(object_: Object, build: Build) -> None:
    with contextlib.ExitStack() as stack:
        fd = None
        if object_.path:
            file = stack.enter_context(nameless.regular(object_.path, quiet=build.rehearsal))
            if not object_.code or not os.fstatvfs(file.fd).f_flag & os.ST_NOEXEC:
                fd = os.dup(file.fd)
        if fd is None:
            fd = os.memfd_create(object_.name)
        build.provide_inode(object_.device, object_.inode, fd)
        load(build, object_.part, object_.runs, object_.size, fd)

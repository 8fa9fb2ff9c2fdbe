"""Address spaces: mappings, the pages that hold something, and what the kernel knows of the layout.

The kernel keeps: mappings with their protection, advice and locks; the limits of code, data, heap,
stack, arguments and environment; the auxiliary vector.
Kinds of mapping here: `anonymous` (private; contents travel), `file` (private or shared; only pages
that differ from the file travel), `object` (a file or shared memory without a name: its contents
travel once, whoever maps it, and of private mappings the pages that differ).
Not carried: device memory, huge-page files, AIO rings, userfaultfd registrations, protection keys
(refused); which pages were resident.

No C half: addresses are the process's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap as mm
import os
import stat
from dataclasses import dataclass

from ...errors import RestoreError, UnsupportedResource
from ...image.writebehind import WriteBehind
from ...linux import procfs
from ...linux.native import lib
from ...linux.program import Program, Row
from ...view.build import Build, BuildProcess, Stage
from ...view.frozen import FrozenPod, FrozenProcess
from ..common import sameness
from ..common.file import opened
from ..common.inode import Inode, Inodes
from ..common.permission import can_open, may_open, open_anyway
from .objects import Object, User, make_object, save_object
from .pages import Pages

NAME = "memory"

PAGE = mm.PAGESIZE
_ROWS = 4096  # of one program, at most
_PASSED = 200  # descriptors at once

_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS = 0x1, 0x2, 0x20
_MAP_GROWSDOWN, _MAP_NORESERVE, _MAP_STACK = 0x100, 0x4000, 0x20000
_MAP_FIXED_NOREPLACE = 0x100000
_PROT_READ, _PROT_WRITE, _PROT_EXEC = 1, 2, 4
_TASK_SIZE = 0x7FFFFFFFF000
_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_PR_SET_VMA, _PR_SET_VMA_ANON_NAME = 0x53564D41, 0

_ADVICE = {"sr": 2, "rr": 1, "dc": 10, "mg": 12, "hg": 14, "nh": 15, "dd": 16, "wf": 18}
"""VmFlags -> the madvise(2) value that sets it."""

_REFUSED = {
    "io": "memory of a device",
    "pf": "memory of a device",
    "ht": "huge pages of hugetlbfs",
    "um": "a userfaultfd registration",
    "uw": "a userfaultfd registration",
    "ui": "a userfaultfd registration",
}

# Fields of /proc/PID/stat that PR_SET_MM_MAP wants, by their number in proc(5).
_STAT_FIRST = 3
_STAT = {"start_code": 26, "end_code": 27, "start_stack": 28, "start_data": 45, "end_data": 46}
_STAT |= {"start_brk": 47, "arg_start": 48, "arg_end": 49, "env_start": 50, "env_end": 51}


@dataclass(frozen=True)
class Mapping:
    start: int
    end: int
    protection: int
    kind: str  # "anonymous", "file", "object"
    shared: bool
    path: bytes
    offset: int
    device: int
    inode: int
    writable: bool  # the file was opened for writing (a shared mapping may become writable)
    grows_down: bool
    no_reserve: bool
    locked: bool
    advice: list[int]
    name: str  # of an anonymous mapping (PR_SET_VMA_ANON_NAME)
    runs: list[list[int]]  # [start, end, offset in the part]


@dataclass(frozen=True)
class MappedFile:
    """A file that has a name."""

    path: bytes
    print: sameness.Print


@dataclass(frozen=True)
class State:
    vpid: int  # 0: only files and objects
    part: str
    mappings: list[Mapping]
    layout: dict[str, int]
    auxv: bytes
    files: list[MappedFile]
    objects: list[Object]


# -- capture


def capture(pod: FrozenPod) -> list[State]:
    with WriteBehind() as pipe:
        capture_ = _Capture(pod, pipe)
        states = [capture_.process(process) for process in pod.processes]
        return [State(0, "", [], {}, b"", capture_.files(), capture_.objects()), *states]


class _Capture:
    def __init__(self, pod: FrozenPod, pipe: WriteBehind) -> None:
        self.pod = pod
        self.pipe = pipe
        self.inodes = Inodes.of(pod)
        self.mapped: dict[Inode, list[User]] = {}

    def process(self, process: FrozenProcess) -> State:
        part = f"pages-{process.vpid}"
        pagemap = os.open(f"{process.proc}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self.pod.image.part(part) as writer:
                pages = Pages(process, pagemap, writer, self.pipe)
                try:
                    mappings = [self.mapping(process, m, pages) for m in process.maps]
                finally:
                    pages.close()
        finally:
            os.close(pagemap)
        with open(f"{process.proc}/auxv", "rb") as file:
            auxv = file.read()
        return State(process.vpid, part, mappings, _layout(process), auxv, [], [])

    def mapping(self, process: FrozenProcess, m: procfs.Map, pages: Pages) -> Mapping:
        inode = self.inodes.mapped(m) if m.inode else None
        kind = _kind(inode)
        _refuse(process, m, inode)
        runs = [] if m.shared else pages.save(m, private_file=kind != "anonymous")
        if inode is not None:
            self.mapped.setdefault(inode, []).append(User(process, m, runs))
        return Mapping(
            start=m.start,
            end=m.end,
            protection=_protection(m),
            kind=kind,
            shared=m.shared,
            path=inode.path if inode and inode.path is not None else b"",
            offset=m.offset,
            device=inode.key[0] if inode else 0,
            inode=inode.key[1] if inode else 0,
            writable="mw" in m.flags,
            grows_down="gd" in m.flags,
            no_reserve="nr" in m.flags,
            locked="lo" in m.flags,
            advice=[value for flag, value in _ADVICE.items() if flag in m.flags],
            name=m.name[6:-1] if m.name.startswith("[anon:") else "",
            runs=runs,
        )

    def files(self) -> list[MappedFile]:
        found = []
        for inode, users in self.mapped.items():
            if inode.path is not None and inode.status and stat.S_ISREG(inode.status.st_mode):
                private = any(not user.map.shared for user in users)
                kind = sameness.CONSTANT if private else sameness.DATA
                code = any("x" in user.map.permissions for user in users)
                print_ = sameness.take(inode.path, inode.status, kind, code=code)
                found.append(MappedFile(inode.path, print_))
        return found

    def objects(self) -> list[Object]:
        """Those that no descriptor of the pod leads to."""
        return [
            save_object(self.pod, inode, users)
            for inode, users in self.mapped.items()
            if inode.path is None and not inode.files
        ]


def _kind(inode: Inode | None) -> str:
    if inode is None:
        return "anonymous"
    return "object" if inode.path is None else "file"


def _protection(m: procfs.Map) -> int:
    bits = {"r": _PROT_READ, "w": _PROT_WRITE, "x": _PROT_EXEC}
    return sum(bit for letter, bit in bits.items() if letter in m.permissions)


def _refuse(process: FrozenProcess, m: procfs.Map, inode: Inode | None) -> None:
    for flag, what in _REFUSED.items():
        if flag in m.flags:
            raise _unsupported(process, m, what)
    if inode is None:
        if m.name == "[uprobes]":
            raise _unsupported(process, m, m.name)
        if m.shared:
            raise _unsupported(process, m, "shared memory of an unknown kind")
    elif inode.path is None:
        if m.name.startswith(("/SYSV", "/[aio]", "anon_inode:")):
            raise _unsupported(process, m, m.name)
        if inode.hidden:
            raise _unsupported(process, m, "a file that cannot be reached by its name")
    elif not may_open(inode.path, _open_mode(m.shared and "mw" in m.flags)):
        raise _unsupported(process, m, "a file that its mode forbids to open so again")


def _open_mode(writable: bool) -> int:
    return os.O_RDWR if writable else os.O_RDONLY


def _unsupported(process: FrozenProcess, m: procfs.Map, what: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot checkpoint process {process.vpid} ({process.comm}): "
        f"it maps {what} at {m.start:#x}",
        needed="memory whose contents can be read and made again",
        found=f"{m.name or 'a mapping without a name'}, {m.size >> 10} KiB",
        do="run the program without it, if it can do so",
    )


def _layout(process: FrozenProcess) -> dict[str, int]:
    fields = procfs.stat_fields(f"{process.proc}/stat")
    layout = {name: int(fields[number - _STAT_FIRST]) for name, number in _STAT.items()}
    program = Program()
    brk = program.call("brk", 0)
    layout["brk"] = process.run(program)[brk]
    return layout


# -- restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.CLAIM, _claim, state, build)
        for object_ in state.objects:
            build.at(Stage.SHARED, make_object, object_, build)
        if state.vpid:
            build.at(Stage.SHARED, _open_closed, state, build)
            build.at(Stage.MEMORY, _fill, state, build)


def _claim(state: State, build: Build) -> None:
    start, end = lib.zt_stub_start(), lib.zt_stub_end()
    for m in state.mappings:
        if m.start < end and start < m.end:
            raise _cannot(state, m, "its place free", "the stub region of this zaptrace lies there")
        if m.kind == "file" and not may_open(m.path, _open_mode(m.shared and m.writable)):
            here = os.path.exists(m.path)
            found = "Permission denied" if here else "No such file or directory"
            raise _cannot(state, m, f"the file {os.fsdecode(m.path)}", found)
    for file in state.files:
        if file.path not in build.allow_changed:
            _claim_file(file)


def _claim_file(file: MappedFile) -> None:
    path = os.fsdecode(file.path)
    try:
        found = sameness.difference(file.print, file.path)
    except OSError as error:
        found = error.strerror or str(error)
    if found is not None:
        raise RestoreError(
            f"cannot restore a mapping of {path}",
            stage="CLAIM",
            resource=NAME,
            needed="the same file, or one whose contents begin with the old ones",
            found=found,
            do="install the same files at the same paths on this host, or, if it holds data that may "
            f"be other data, restore with --allow-changed {path}",
            changed="nothing",
        )


def _open_closed(state: State, build: Build) -> None:
    """Files that a process could not open by itself, because of their mode."""
    for m in state.mappings:
        mode = _open_mode(m.shared and m.writable)
        if m.kind == "file" and not can_open(m.path, mode) and not build.inode(m.device, m.inode):
            fd = open_anyway(m.path, mode | os.O_CLOEXEC, rehearsal=build.rehearsal)
            build.provide_inode(m.device, m.inode, fd)


def _cannot(state: State, m: Mapping, needed: str, found: str) -> RestoreError:
    return RestoreError(
        f"cannot restore process {state.vpid}: its memory at {m.start:#x}",
        stage="CLAIM",
        resource=NAME,
        vpid=state.vpid,
        needed=needed,
        found=found,
        do="install the same files at the same paths on this host",
        changed="nothing",
    )


def _fill(state: State, build: Build) -> None:
    process = build.process(state.vpid)
    objects = sorted({_object_of(m) for m in state.mappings if _is_passed(m, build)})
    numbers = dict(zip(objects, _receive_objects(process, build, objects), strict=True))

    program = Program()
    program.call("munmap", 0, lib.zt_stub_start())
    program.call("munmap", lib.zt_stub_end(), _TASK_SIZE - lib.zt_stub_end())
    pages = program.call(
        "openat", -100, program.string(build.image.path(state.part)), os.O_RDONLY, 0
    )
    fd = process.run(program)[pages]

    program = Program()
    loads: list[tuple[Row, int]] = []
    for m in state.mappings:
        program = _map(program, m, numbers)
        for start, end, offset in m.runs:
            size = build.needed(end - start)
            row = program.call("pread64", fd, start, size, offset)
            loads.append((row, size))
        if m.runs and not m.protection & _PROT_WRITE:
            program.call("mprotect", m.start, m.end - m.start, m.protection)
        program = _advise(program, m)
        if len(program.rows) > _ROWS:
            _load(process, program, loads)
            program, loads = Program(), []
    for number in {fd, *numbers.values()}:
        program.call("close", number)
    _set_layout(program, state)
    _load(process, program, loads)


def _load(process: BuildProcess, program: Program, loads: list[tuple[Row, int]]) -> None:
    results = process.run(program)
    for row, size in loads:
        if results[row] != size:
            raise RestoreError(
                f"cannot restore process {process.vpid}: its pages could not be read",
                needed=f"{size} bytes",
                found=f"{results[row]} bytes",
            )


def _object_of(m: Mapping) -> tuple[int, int, bool]:
    """(device, inode, is it to be open for writing?)"""
    return m.device, m.inode, m.shared and m.writable


def _is_passed(m: Mapping, build: Build) -> bool:
    """Does the process receive the file from us, rather than open it by its path?"""
    if m.kind == "file":
        return build.inode(m.device, m.inode) is not None
    return m.kind == "object"


def _receive_objects(
    process: BuildProcess, build: Build, objects: list[tuple[int, int, bool]]
) -> list[int]:
    received: list[int] = []
    for first in range(0, len(objects), _PASSED):
        with contextlib.ExitStack() as stack:
            fds = []
            for device, inode, writable in objects[first : first + _PASSED]:
                fd = build.inode(device, inode)
                if fd is None:
                    raise RestoreError(
                        f"cannot restore process {process.vpid}: an object that it maps is missing",
                        resource=NAME,
                        vpid=process.vpid,
                        needed=f"the object that was inode {inode}",
                        found="no room that provides it",
                    )
                if not writable:  # a mapping that may not become writable comes from such a file
                    with contextlib.suppress(PermissionError):
                        fd = stack.enter_context(opened(f"/proc/self/fd/{fd}", os.O_RDONLY))
                fds.append(fd)
            received += build.pass_files(process, fds)
    return received


def _map(program: Program, m: Mapping, numbers: dict[tuple[int, int, bool], int]) -> Program:
    size = m.end - m.start
    flags = _MAP_FIXED_NOREPLACE | (_MAP_SHARED if m.shared else _MAP_PRIVATE)
    flags |= _MAP_NORESERVE if m.no_reserve else 0
    flags |= _MAP_GROWSDOWN | _MAP_STACK if m.grows_down else 0
    protection = m.protection | (_PROT_WRITE if m.runs else 0)
    received = numbers.get(_object_of(m))
    if m.kind == "anonymous":
        program.call("mmap", m.start, size, protection, flags | _MAP_ANONYMOUS, -1, 0)
    elif received is not None:
        program.call("mmap", m.start, size, protection, flags, received, m.offset)
    else:
        mode = _open_mode(m.shared and m.writable)
        fd = program.call("openat", -100, program.string(m.path), mode | os.O_CLOEXEC, 0)
        program.call("mmap", m.start, size, protection, flags, fd, m.offset)
        program.call("close", fd)
    return program


def _advise(program: Program, m: Mapping) -> Program:
    size = m.end - m.start
    for advice in m.advice:
        program.call("madvise", m.start, size, advice, may_fail=True)
    if m.locked:
        program.call("mlock", m.start, size, may_fail=True)
    if m.name:
        name = program.string(m.name)
        program.call(
            "prctl", _PR_SET_VMA, _PR_SET_VMA_ANON_NAME, m.start, size, name, may_fail=True
        )
    return program


class _MmMap(ctypes.Structure):
    """struct prctl_mm_map, include/uapi/linux/prctl.h"""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("start_code", "end_code", "start_data", "end_data")),
        *((name, ctypes.c_uint64) for name in ("start_brk", "brk", "start_stack")),
        *((name, ctypes.c_uint64) for name in ("arg_start", "arg_end", "env_start", "env_end")),
        ("auxv", ctypes.c_uint64),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_int32),
    ]


def _set_layout(program: Program, state: State) -> None:
    auxv = program.data(state.auxv)
    layout = _MmMap(**state.layout, auxv_size=len(state.auxv), exe_fd=-1)
    map_ = program.pointer(bytes(layout), {_MmMap.auxv.offset: auxv})
    program.call("prctl", _PR_SET_MM, _PR_SET_MM_MAP, map_, len(bytes(layout)), 0)

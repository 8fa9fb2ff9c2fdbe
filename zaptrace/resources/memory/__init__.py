"""Address spaces: mappings, the pages that hold something, and what the kernel knows of the layout.

The kernel keeps: mappings with their protection, advice and locks; the limits of code, data, heap,
stack, arguments and environment; the auxiliary vector.
Kinds of mapping here: `anonymous` (private, and private copies of files that are removed or may not
be read: contents travel),
`file` (private or shared; only pages that differ from the file travel), `object` (shared memory
without a path: its contents travel once, whoever maps it).
Not carried: device memory, huge-page files, AIO rings, userfaultfd registrations, protection keys
(refused); which pages were resident.

No C half: addresses are the process's own.
"""

from __future__ import annotations

import ctypes
import mmap as mm
import os
from dataclasses import dataclass

from ...errors import RestoreError, UnsupportedResource
from ...image.writebehind import WriteBehind
from ...linux import procfs
from ...linux.native import NativeError, lib
from ...linux.program import Argument, Program, Row
from ...view.build import Build, BuildProcess, Stage
from ...view.frozen import FrozenPod, FrozenProcess
from .pages import Pages

NAME = "memory"

PAGE = mm.PAGESIZE
_ROWS = 4096  # of one program, at most

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
    path: str
    offset: int
    device: int
    inode: int
    size: int  # of the file
    mtime_ns: int
    writable: bool  # the file was opened for writing (a shared mapping may become writable)
    grows_down: bool
    no_reserve: bool
    locked: bool
    advice: list[int]
    name: str  # of an anonymous mapping (PR_SET_VMA_ANON_NAME)
    runs: list[list[int]]  # [start, end, offset in the part]


@dataclass(frozen=True)
class Object:
    """Shared memory without a path."""

    device: int
    inode: int
    name: str
    size: int
    part: str
    runs: list[list[int]]  # [offset, length], in the order of the part


@dataclass(frozen=True)
class State:
    vpid: int  # 0: only objects
    part: str
    mappings: list[Mapping]
    layout: dict[str, int]
    auxv: bytes
    objects: list[Object]


# -- capture


def capture(pod: FrozenPod) -> list[State]:
    carried_by_files = {(f.stat.st_dev, f.stat.st_ino) for f in pod.all_files}
    with WriteBehind() as pipe:
        capture_ = _Capture(pod, carried_by_files, pipe)
        states = [capture_.process(process) for process in pod.processes]
        return [State(0, "", [], {}, b"", capture_.objects()), *states]


class _Capture:
    def __init__(self, pod: FrozenPod, carried: set[tuple[int, int]], pipe: WriteBehind) -> None:
        self.pod = pod
        self.carried = carried
        self.pipe = pipe
        self.mapped: dict[tuple[int, int], list[tuple[FrozenProcess, procfs.Map]]] = {}

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
        return State(process.vpid, part, mappings, _layout(process), auxv, [])

    def mapping(self, process: FrozenProcess, m: procfs.Map, pages: Pages) -> Mapping:
        _refuse(process, m)
        kind, path, status = self.kind(process, m)
        runs: list[list[int]] = []
        if kind == "object":
            self.mapped.setdefault((m.device, m.inode), []).append((process, m))
        elif not m.shared:
            carried = kind == "anonymous" and m.inode != 0
            runs = pages.save_all(m) if carried else pages.save(m, private_file=kind == "file")
        return Mapping(
            start=m.start,
            end=m.end,
            protection=_protection(m),
            kind=kind,
            shared=m.shared,
            path=path,
            offset=m.offset,
            device=m.device,
            inode=m.inode,
            size=status.st_size if status else 0,
            mtime_ns=status.st_mtime_ns if status else 0,
            writable="mw" in m.flags,
            grows_down="gd" in m.flags,
            no_reserve="nr" in m.flags,
            locked="lo" in m.flags,
            advice=[value for flag, value in _ADVICE.items() if flag in m.flags],
            name=m.name[6:-1] if m.name.startswith("[anon:") else "",
            runs=runs,
        )

    def kind(self, process: FrozenProcess, m: procfs.Map) -> tuple[str, str, os.stat_result | None]:
        if m.inode == 0 or m.name.startswith(("[anon:", "[heap]", "[stack")):
            if m.shared:
                raise _unsupported(process, m, "shared memory of an unknown kind")
            return "anonymous", "", None
        if m.name.endswith(" (deleted)") or m.name.startswith("/memfd:"):
            return ("object" if m.shared else "anonymous"), "", None
        try:
            status = os.stat(m.name)
        except OSError:
            status = None
        if status is None or status.st_ino != m.inode:
            # Removed behind another name, or replaced: what is mapped is not what the path says.
            return ("object" if m.shared else "anonymous"), "", None
        if not m.shared and not os.access(m.name, os.R_OK):
            return "anonymous", "", None  # of a program that may be executed only: none can map it
        return "file", m.name, status

    def objects(self) -> list[Object]:
        return [self.object(*item) for item in self.mapped.items() if item[0] not in self.carried]

    def object(self, key: tuple[int, int], users: list[tuple[FrozenProcess, procfs.Map]]) -> Object:
        """Its contents as far as somebody maps them; a hole and a page of zeros are the same."""
        part = f"object-{key[0]:x}-{key[1]}"
        runs: list[list[int]] = []
        done = 0
        with self.pod.image.part(part) as writer:
            for process, m in sorted(users, key=lambda user: user[1].offset):
                begin = max(m.offset, done)
                for at in range(begin, m.offset + m.size, PAGE * 64):
                    size = min(PAGE * 64, m.offset + m.size - at)
                    data = _read(process, m.start + at - m.offset, size)
                    if data.count(0) != len(data):
                        writer.write(data)
                        runs.append([at, size])
                done = max(done, m.offset + m.size)
        name = users[0][1].name.removesuffix(" (deleted)")
        return Object(key[0], key[1], name, done, part, runs)


def _read(process: FrozenProcess, address: int, size: int) -> bytes:
    """Shared memory; pages beyond the object's end (SIGBUS for the program) read as zeros."""
    try:
        return process.read(address, size)
    except NativeError:
        if size == PAGE:
            return bytes(PAGE)
        half = size // 2 // PAGE * PAGE
        return _read(process, address, half) + _read(process, address + half, size - half)


def _protection(m: procfs.Map) -> int:
    bits = {"r": _PROT_READ, "w": _PROT_WRITE, "x": _PROT_EXEC}
    return sum(bit for letter, bit in bits.items() if letter in m.permissions)


def _refuse(process: FrozenProcess, m: procfs.Map) -> None:
    for flag, what in _REFUSED.items():
        if flag in m.flags:
            raise _unsupported(process, m, what)
    if m.name.startswith(("/SYSV", "/[aio]", "anon_inode:")) or m.name == "[uprobes]":
        raise _unsupported(process, m, m.name)


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
        build.at(Stage.CLAIM, _claim, state)
        for object_ in state.objects:
            build.at(Stage.SHARED, _make_object, object_, build)
        if state.vpid:
            build.at(Stage.MEMORY, _fill, state, build)


def _claim(state: State) -> None:
    start, end = lib.zt_stub_start(), lib.zt_stub_end()
    for m in state.mappings:
        if m.start < end and start < m.end:
            raise _cannot(state, m, "its place free", "the stub region of this zaptrace lies there")
        if m.kind == "file":
            _claim_file(state, m)


def _claim_file(state: State, m: Mapping) -> None:
    try:
        here = os.stat(m.path)
    except OSError as error:
        raise _cannot(state, m, f"the file {m.path}", error.strerror or "") from None
    if m.shared and m.writable:
        return  # data, as open files are; the program's own business
    if here.st_size != m.size:
        found = f"another file there (size {here.st_size}, was {m.size})"
        raise _cannot(state, m, f"the same file {m.path}", found)


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


def _make_object(object_: Object, build: Build) -> None:
    fd = os.memfd_create(object_.name.rpartition("/")[2].removeprefix("memfd:") or "shared")
    build.provide_inode(object_.device, object_.inode, fd)
    os.ftruncate(fd, object_.size)
    source = os.open(build.image.path(object_.part), os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = 0
        for offset, length in object_.runs:
            os.pwrite(fd, os.pread(source, build.needed(length), at), offset)
            at += length
    finally:
        os.close(source)


def _fill(state: State, build: Build) -> None:
    process = build.process(state.vpid)
    objects = sorted({(m.device, m.inode) for m in state.mappings if m.kind == "object"})
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


def _receive_objects(
    process: BuildProcess, build: Build, objects: list[tuple[int, int]]
) -> list[int]:
    fds = []
    for device, inode in objects:
        fd = build.inode(device, inode)
        if fd is None:
            raise RestoreError(
                f"cannot restore process {process.vpid}: a shared object that it maps is missing",
                resource=NAME,
                vpid=process.vpid,
                needed=f"the object that was inode {inode}",
                found="no room that provides it",
            )
        fds.append(fd)
    received: list[int] = []
    for first in range(0, len(fds), 200):
        received += build.pass_files(process, fds[first : first + 200])
    return received


def _map(program: Program, m: Mapping, numbers: dict[tuple[int, int], int]) -> Program:
    size = m.end - m.start
    flags = _MAP_FIXED_NOREPLACE | (_MAP_SHARED if m.shared else _MAP_PRIVATE)
    flags |= _MAP_NORESERVE if m.no_reserve else 0
    flags |= _MAP_GROWSDOWN | _MAP_STACK if m.grows_down else 0
    protection = m.protection | (_PROT_WRITE if m.runs else 0)
    if m.kind == "anonymous":
        program.call("mmap", m.start, size, protection, flags | _MAP_ANONYMOUS, -1, 0)
    elif m.kind == "object":
        fd: Argument = numbers[m.device, m.inode]
        program.call("mmap", m.start, size, protection, flags, fd, m.offset)
    else:
        mode = os.O_RDWR if m.shared and m.writable else os.O_RDONLY
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

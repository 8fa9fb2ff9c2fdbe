"""A pod of one process, which is the test itself: captured, killed and restored without ptrace.

    world.hold(fd, ...)         these fds are the pod's; fds of one description in one call
    world.capture(room)         States, after a trip through msgpack
    world.kill()                the pod's fds are closed; their numbers stay taken
    world.restore(room, states) the numbers are the restored files

`round_trip(room)` does all of it, so a test looks at the same fd numbers before and after.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import msgpack

from zaptrace.resources.room import decode_state, encode_state
from zaptrace.view.build import Stage

VPID = 7
_OURS = 500
"""Fds of the build lie from here on, out of the way of the pod's, which are in this process too."""
_libc = ctypes.CDLL(None, use_errno=True)
_NUMBERS = {
    "close": 3,
    "ioctl": 16,
    "fcntl": 72,
    "epoll_ctl": 233,
    "openat": 257,
    "epoll_pwait": 281,
    "dup3": 292,
}


@dataclass
class FakeFile:
    id: int
    pod: FakePod
    holders: list[tuple[FakeProcess, int]]
    link: str
    stat: os.stat_result
    flags: int
    pos: int
    info: dict[str, list[str]]
    local: int

    @property
    def holder(self) -> str:
        """As FrozenFile has it."""
        if not self.holders:
            return f"open file {self.link}"
        process, number = self.holders[0]
        return f"process {process.vpid} ({process.comm}), fd {number}"


@dataclass
class FakeFd:
    number: int
    cloexec: bool
    file: FakeFile


@dataclass
class FakeProcess:
    vpid: int = VPID
    rpid: int = field(default_factory=os.getpid)
    comm: str = "test"
    proc: str = field(default_factory=lambda: f"/proc/{os.getpid()}")
    fds: dict[int, FakeFd] = field(default_factory=dict)


class FakeImage:
    """Parts in a directory, for writing and for reading."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @contextlib.contextmanager
    def part(self, name: str):
        with open(self.home / name, "xb") as file:
            yield file

    def path(self, name: str) -> str:
        return str(self.home / name)


@dataclass
class FakeHandle:
    """Of the tracer's pod; the monotonic clock of the pod is so far from the host's."""

    offset_ns: int = 0


class FakePod:
    def __init__(self, image: FakeImage) -> None:
        self.handle = FakeHandle()
        self.name = "fake"
        self.image = image
        self.stdio: dict[tuple[int, int], str] = {}
        self.tty_master: int | None = None
        self.processes = [FakeProcess()]
        self.every: list[FakeFile] = []
        self.room: ModuleType | None = None
        self.vids = {os.getpid(): VPID}

    def files(self, name: str) -> list[FakeFile]:
        assert self.room is not None
        assert name == self.room.NAME
        return [file for file in self.every if self.room.claims(file)]

    def vpid(self, rpid: int) -> int | None:
        return self.vids.get(rpid)


class FakeProgram:
    """Rows that are made by the test's own process."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, tuple[Any, ...], bool]] = []

    def call(self, name: str, *args: Any, may_fail: bool = False) -> _Row:
        self.rows.append((name, args, may_fail))
        return _Row(len(self.rows) - 1)

    def data(self, content: bytes) -> Any:
        return ctypes.create_string_buffer(content, len(content))

    def buffer(self, size: int) -> Any:
        return ctypes.create_string_buffer(size)

    def string(self, text: str) -> Any:
        return ctypes.create_string_buffer(text.encode())

    def run(self) -> None:
        results: list[int] = []
        for name, args, may_fail in self.rows:
            real = [results[a.index] if isinstance(a, _Row) else a for a in args]
            real = [ctypes.c_long(a) if isinstance(a, int) else a for a in real]
            results.append(_libc.syscall(_NUMBERS[name], *real))
            if results[-1] == -1 and not may_fail:
                raise OSError(ctypes.get_errno(), f"row {name}{args}")


@dataclass
class _Row:
    index: int


class FakeBuild:
    def __init__(self, image: FakeImage, pod: FakePod) -> None:
        self.image = image
        self.pod = pod
        self.handle = FakeHandle()
        self.before_thaw: list[Any] = []
        self.stdio: dict[str, int] = {}
        self.tty_master: int | None = None
        self.terminals: dict[int, str] = {}
        self.contended = False
        self.work: dict[Stage, list[Any]] = defaultdict(list)
        self.provided: dict[int, int] = {}
        self.inodes: dict[tuple[int, int], int] = {}
        self.programs: dict[Stage, FakeProgram] = defaultdict(FakeProgram)

    def at(self, stage: Stage, fn: Any, *args: Any) -> None:
        self.work[stage].append((fn, args))

    def or_when_free(self, work: Any) -> None:
        work()

    def provide(self, file_id: int, fd: int) -> None:
        assert file_id not in self.provided
        self.provided[file_id] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _OURS)
        os.close(fd)

    def file(self, file_id: int) -> int:
        return self.provided[file_id]

    def provide_inode(self, dev: int, ino: int, fd: int) -> None:
        self.inodes[dev, ino] = fd

    def inode(self, dev: int, ino: int) -> int | None:
        return self.inodes.get((dev, ino))

    def rpid(self, vid: int) -> int:
        return next(rid for rid, known in self.pod.vids.items() if known == vid)

    def process(self, vpid: int) -> _FakeBuildProcess:
        assert vpid == VPID
        return _FakeBuildProcess(self.programs)

    def run(self) -> None:
        for stage in Stage:
            for fn, args in self.work[stage]:
                fn(*args)
            if stage == Stage.FILES:
                for file in self.pod.every:
                    for _, number in file.holders:
                        if file.id in self.provided:
                            os.dup2(self.provided[file.id], number)
            if stage in self.programs:
                self.programs[stage].run()
        for work in self.before_thaw:
            work()


@dataclass
class _FakeBuildProcess:
    programs: dict[Stage, FakeProgram]

    def program(self, stage: Stage) -> FakeProgram:
        return self.programs[stage]


class World:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.image = FakeImage(home)
        self.pod = FakePod(self.image)
        self.open: list[int] = []
        self.build: FakeBuild | None = None

    def hold(self, *fds: int) -> FakeFile:
        """`fds`, duplicates of one description, are the pod's."""
        file = _freeze(self.pod, len(self.pod.every) + 1, fds)
        self.pod.every.append(file)
        self.open += [file.local, *fds]
        return file

    def refresh(self) -> None:
        """Look at all files again, as a later freeze would."""
        every, self.pod.every = self.pod.every, []
        self.pod.processes[0].fds.clear()
        for file in every:
            os.close(file.local)
            self.open.remove(file.local)
            self.pod.every.append(_freeze(self.pod, file.id, [n for _, n in file.holders]))
            self.open.append(self.pod.every[-1].local)

    def capture(self, room: ModuleType) -> list[Any]:
        self.refresh()
        self.pod.room = room
        for part in self.home.iterdir():
            if part.name.startswith(("file-", "memfd-")):
                part.unlink()
        return [through_msgpack(state) for state in room.capture(self.pod)]

    def kill(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for file in self.pod.every:
            for number in (file.local, *(n for _, n in file.holders)):
                os.dup2(null, number)
        os.close(null)

    def restore(self, room: ModuleType, states: list[Any], **given: Any) -> FakeBuild:
        self.build = FakeBuild(self.image, self.pod)
        vars(self.build).update(given)
        room.restore(states, self.build)
        try:
            self.build.run()
        finally:
            for fd in [*self.build.provided.values(), *self.build.inodes.values()]:
                os.close(fd)
        return self.build

    def round_trip(self, room: ModuleType, **given: Any) -> list[Any]:
        states = self.capture(room)
        self.kill()
        self.restore(room, states, **given)
        self.refresh()
        return states

    def close(self) -> None:
        for fd in self.open:
            with contextlib.suppress(OSError):
                os.close(fd)


def through_msgpack(state: Any) -> Any:
    """`state` as it comes back from an image."""
    packed = msgpack.packb(encode_state(state))
    again = decode_state(type(state), msgpack.unpackb(packed))
    assert again == state
    return again


def _freeze(pod: FakePod, file_id: int, fds: Any) -> FakeFile:
    process, first = pod.processes[0], fds[0]
    info: dict[str, list[str]] = defaultdict(list)
    with open(f"/proc/self/fdinfo/{first}", encoding="ascii") as lines:
        for line in lines:
            key, _, value = line.partition(":")
            info[key].append(value.strip())
    file = FakeFile(
        id=file_id,
        pod=pod,
        holders=[(process, fd) for fd in fds],
        link=os.readlink(f"/proc/self/fd/{first}"),
        stat=os.fstat(first),
        flags=int(info["flags"][0], 8) & ~os.O_CLOEXEC,
        pos=int(info["pos"][0]),
        info=dict(info),
        local=fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, _OURS),
    )
    for fd in fds:
        process.fds[fd] = FakeFd(fd, not os.get_inheritable(fd), file)
    return file

"""A frozen pod, as capture reads it.

FrozenPod > FrozenProcess > FrozenThread, and FrozenFile: one open file description, however many
descriptors in however many processes share it. Nothing here changes the pod.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..errors import UnsupportedResource
from ..ids import SUPERVISOR, FileId, Rpid, Vpid
from ..linux import native, outside, procfs
from ..linux.native import Handle, lib
from ..linux.program import Program, Results
from ..linux.tracee import TaskInfo, Thread, tasks
from .descriptions import OURSELVES, Descriptor, Holder, Twin, same
from .duplicates import Duplicates
from .kept import Kept as Kept
from .scrollback import Scrollback
from .store import Stored, of_room, read_store

if TYPE_CHECKING:
    from ..image.sink import Parts, Writer

Outside = Literal["refuse", "close"]
"""What becomes of connections to outside the pod: it is not captured, or they have been reset."""

_O_CLOEXEC = os.O_CLOEXEC
_INFO_OF_ITSELF = {"pos", "flags", "mnt_id", "ino"}


class FrozenThread(Thread):
    """A thread at rest, and what the tracer noted when it stopped."""

    def __init__(self, pod: Handle, info: TaskInfo, process: FrozenProcess) -> None:
        super().__init__(pod, info.rtid, info.vtid)
        self.group_stop = info.group_stop
        self.left_ns = info.left_ns
        self.queued = info.queued
        self.interrupted = info.interrupted
        self.memory, self.files = info.memory, info.files
        self.directory, self.handlers = info.directory, info.handlers
        self.awaited_by = process.pod.vpid(info.awaited_by) if info.awaited_by else None
        self.control_size = info.control_size
        self.dumpable = info.dumpable
        self.landlocked = info.landlocked
        self.filter, self.no_new_privs = info.filter, info.no_new_privs
        self.process = process


@dataclass(frozen=True)
class Zombie:
    """A child that has ended and was not waited for; `code` and `status` as in siginfo (waitid(2))."""

    vpid: Vpid
    ppid: Vpid
    pgid: Vpid
    sid: Vpid
    code: int
    status: int
    comm: str
    exit_signal: int


@dataclass(frozen=True)
class FrozenFd:
    """A descriptor of one process."""

    number: int
    cloexec: bool
    file: FrozenFile
    locks: list[str]
    """Lines of its fdinfo; each process sees its own POSIX locks only."""


class FrozenFile:
    """An open file description."""

    def __init__(self, id_: FileId, pod: FrozenPod, look: _Look, ours: int = -1) -> None:
        self.id = id_
        self.pod = pod
        self.holders: list[tuple[FrozenProcess, int]] = []
        """Empty for one that is only under way, in a socket's queue; then we have a copy."""
        self._ours = ours
        self.link = look.link
        self.stat = look.stat
        self.flags = look.flags
        self.pos = look.pos
        self.info = look.info
        self.signals = look.signals

    @property
    def local(self) -> int:
        """A duplicate in our process: it shares offset and flags with the pod's.

        Good until many other files have been asked for theirs: ask anew instead of keeping it.
        """
        if not self.holders:
            return self._ours
        return self.pod.duplicates.of(self.id, *self.holders[0], self._next_ones)

    def _next_ones(self) -> Iterator[tuple[FileId, int]]:
        """Files behind this one that the same process has."""
        process, _ = self.holders[0]
        for number in range(self.id + 1, len(self.pod.all_files)):
            file = self.pod.all_files[number]
            if not file.holders or file.holders[0][0] is not process:
                return
            yield file.id, file.holders[0][1]

    def descriptor(self, shows: _Key) -> Descriptor:
        """One that leads to it."""
        process, fd = self.holders[0] if self.holders else (OURSELVES, self._ours)
        return Descriptor(process, fd, shows, bool(self.flags & os.O_PATH), self.signals)

    @property
    def holder(self) -> str:
        """`process 7 (nginx), fd 12`, for the first line of an error."""
        if not self.holders:
            return f"open file {self.link}, which is under way in a socket,"
        process, fd = self.holders[0]
        return f"process {process.vpid} ({process.comm}), fd {fd}"

    def close(self) -> None:
        """Close the copy that we have of one that is under way."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1


_Key = tuple[int, int, int, int, str]


@dataclass(frozen=True)
class _Look:
    """What one descriptor shows of its description."""

    link: str
    stat: os.stat_result
    flags: int
    pos: int
    cloexec: bool
    info: dict[str, list[str]]

    @property
    def key(self) -> _Key:
        return (self.stat.st_dev, self.stat.st_ino, self.flags, self.pos, self.link)

    @property
    def signals(self) -> bool:
        """May its description's signal (F_SETSIG) be raised by what others do?"""
        leased = any("LEASE" in line for line in self.info.get("lock", []))
        return bool(self.flags & os.O_ASYNC) or leased


def _look(process: Holder, fd: int) -> _Look:
    path = f"/proc/{process.lives_in}/fd/{fd}"
    info = procfs.fdinfo(process.lives_in, fd)
    flags = int(info["flags"][0], 8)
    return _Look(
        link=_link(process, fd, path),
        stat=_status(process, fd, path),
        flags=flags & ~_O_CLOEXEC,
        pos=int(info["pos"][0]),
        cloexec=bool(flags & _O_CLOEXEC),
        info={k: v for k, v in info.items() if k not in _INFO_OF_ITSELF},
    )


def _status(process: Holder, fd: int, path: str) -> os.stat_result:
    try:
        return outside.stat(path)
    except FileNotFoundError as error:
        raise UnsupportedResource(
            f"cannot checkpoint process {process.vpid} ({process.comm}), fd {fd} is a directory of a "
            "process that has ended",
            needed="files that can be looked at; of this one the kernel says that it is not there",
            found=os.readlink(path),
            do="let the program close it when the process has ended",
        ) from error


def _link(process: Holder, fd: int, path: str) -> str:
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UnsupportedResource(
            f"cannot checkpoint process {process.vpid} ({process.comm}), fd {fd} is a file whose "
            "path cannot be told",
            needed="a path of less than 4096 bytes",
            found=error.strerror or str(error),
            do="let the program close it, or run it in a directory that is less deep",
        ) from error


class FrozenProcess:
    """A process whose threads are all at rest."""

    def __init__(self, pod: FrozenPod, infos: list[TaskInfo]) -> None:
        self.pod = pod
        self.rpid = infos[0].rpid
        self.vpid = infos[0].vpid
        living = [info for info in infos if not info.ended]
        living.sort(key=lambda info: info.rtid != info.rpid)
        self.threads = [FrozenThread(pod.handle, info, self) for info in living]
        self.fds: dict[int, FrozenFd] = {}
        self.lives_in = self.leader.rtid
        """What it has is looked up by the number of this thread: a first thread that has ended has
        nothing any more, while the process goes on. It is `rpid` itself, mostly."""
        self.proc = f"/proc/{self.lives_in}"

    @property
    def leader(self) -> FrozenThread:
        """Its first thread; if that has ended, the oldest that goes on."""
        return self.threads[0]

    @property
    def first_has_ended(self) -> bool:
        return self.lives_in != self.rpid

    @functools.cached_property
    def status(self) -> dict[str, str]:
        return procfs.status(self.lives_in)

    @functools.cached_property
    def comm(self) -> str:
        return procfs.read(f"/proc/{self.rpid}/comm").rstrip("\n")

    @functools.cached_property
    def exe(self) -> str:
        return os.readlink(f"{self.proc}/exe")

    @functools.cached_property
    def maps(self) -> list[procfs.Map]:
        """Its memory map without the stub region and the kernel's own [vsyscall]."""
        return [m for m in self._maps if not _in_stub(m) and m.name != "[vsyscall]"]

    @functools.cached_property
    def stub_maps(self) -> list[procfs.Map]:
        """What is mapped in the stub region."""
        return [m for m in self._maps if _in_stub(m)]

    @functools.cached_property
    def _maps(self) -> list[procfs.Map]:
        return procfs.maps(self.lives_in)

    @property
    def ppid(self) -> Vpid:
        return self.pod.vpid(int(self.status["PPid"])) or SUPERVISOR

    @property
    def pgid(self) -> Vpid:
        return self.pod.vpid(os.getpgid(self.rpid)) or Vpid(0)

    @property
    def sid(self) -> Vpid:
        return self.pod.vpid(os.getsid(self.rpid)) or Vpid(0)

    def run(self, program: Program) -> Results:
        """Run a program in one thread."""
        return self.leader.run(program)

    def twin(self, below: int) -> Twin | None:
        """Of pipes, sockets and devices: to close a number of another file ends what the process has
        locked there, or asked to be told of."""
        first: dict[FileId, int] = {}
        for number, fd in sorted(self.fds.items()):
            kind = stat.S_IFMT(fd.file.stat.st_mode)
            if (
                kind not in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR)
                or fd.locks
                or number >= below
            ):
                continue
            if (other := first.setdefault(fd.file.id, number)) != number:
                return Twin(number, other, fd.cloexec)
        return None

    def read(self, address: int, size: int) -> bytes:
        return native.read_memory(self.lives_in, address, size)


class _Nowhere:
    """The image of a pod that is only looked at."""

    def part(self, name: str) -> contextlib.AbstractContextManager[Writer]:
        raise ValueError(f"there is no image for part {name}")


@dataclass
class FrozenPod:
    """The whole pod at rest. `handle` is the tracer's; `image` takes bulk contents while capturing."""

    handle: Handle
    name: str
    stdio: dict[tuple[int, int], str] = field(default_factory=dict)
    tty_master: int | None = None
    kept: Kept = field(default_factory=Kept)
    keeps: bool = False
    """May what waits to be accepted, and was not seen yet, be accepted to look at it? Else it is waited
    for that the pod does that."""
    image: Parts = field(default_factory=_Nowhere)
    outside: Outside = "refuse"
    scrollback: Callable[[], Scrollback | None] = lambda: None
    """What it wrote to its own terminal so far."""
    processes: list[FrozenProcess] = field(init=False, default_factory=list)
    zombies: list[Zombie] = field(init=False, default_factory=list)
    all_files: list[FrozenFile] = field(init=False, default_factory=list)
    worked_out: dict[type, object] = field(init=False, default_factory=dict)
    """What rooms find out once for all of them, by its class."""
    at_end: list[Callable[[], None]] = field(init=False, default_factory=list)
    """To be done in the pod, frozen still, just before it is ended because it goes on elsewhere."""
    at_close: list[Callable[[], None]] = field(init=False, default_factory=list)
    """To be done once it was looked at, and before it goes on."""
    duplicates: Duplicates = field(init=False, default_factory=Duplicates)
    _claimed: dict[str, list[FrozenFile]] = field(init=False, default_factory=dict)
    _alike: dict[_Key, list[FrozenFile]] = field(
        init=False, default_factory=lambda: defaultdict(list)
    )

    def __post_init__(self) -> None:
        threads: dict[int, list[TaskInfo]] = defaultdict(list)
        for info in tasks(self.handle):
            threads[info.rpid].append(info)
        self.processes = [FrozenProcess(self, infos) for infos in threads.values()]
        self.processes = list(_parents_first(self.processes))
        self._read_files()
        self._read_zombies()

    def vpid(self, rpid: int) -> Vpid | None:
        """The pod's number for one of the host's; None for anything outside."""
        return Vpid(lib.zt_ids_to_virtual(self.handle, rpid)) or None

    def living(self, rpid: int) -> Vpid | None:
        """The same of a process or thread that has not been waited for."""
        vpid = self.vpid(rpid)
        return vpid if vpid in self._present else None

    @functools.cached_property
    def _present(self) -> set[int]:
        threads = {thread.vtid for process in self.processes for thread in process.threads}
        leaders = {process.vpid for process in self.processes}
        return {*threads, *leaders, *(zombie.vpid for zombie in self.zombies), SUPERVISOR}

    def peer_vpid(self, rpid: int) -> Vpid:
        """The same of a process that a socket tells, which may have ended; 0 for one outside."""
        return Vpid(lib.zt_ids_peer(self.handle, rpid))

    def process(self, vpid: int) -> FrozenProcess:
        return self._by_vpid[Vpid(vpid)]

    @functools.cached_property
    def _by_vpid(self) -> dict[Vpid, FrozenProcess]:
        return {process.vpid: process for process in self.processes}

    @property
    def memories(self) -> list[FrozenProcess]:
        """The first process of each address space."""
        return list({p.leader.memory: p for p in reversed(self.processes)}.values())[::-1]

    @functools.cached_property
    def stored(self) -> list[Stored]:
        """What the lower halves of all rooms noted."""
        return read_store(self.handle)

    def store(self, room: str) -> dict[bytes, bytes]:
        """What the lower half of a room noted, oldest first."""
        return of_room(self.stored, room)

    def files(self, room: str) -> list[FrozenFile]:
        """The open file descriptions that a room has claimed."""
        return self._claimed.get(room, [])

    def file_at(self, vpid: int, fd: int) -> FrozenFile | None:
        entry = self.process(vpid).fds.get(fd)
        return entry.file if entry else None

    def claim(self, room: str, file: FrozenFile) -> None:
        self._claimed.setdefault(room, []).append(file)

    def close(self) -> None:
        """Close the duplicates in our process."""
        for work in self.at_close:
            work()
        self.duplicates.close()
        for file in self.all_files:
            file.close()

    # -- reading

    def _read_files(self) -> None:
        seen = [
            (process, fd, _look(process, fd))
            for process in self.processes
            for fd in procfs.fds(process.lives_in)
        ]
        first = same(
            [
                Descriptor(process, fd, look.key, bool(look.flags & os.O_PATH), look.signals)
                for process, fd, look in seen
            ]
        )
        files: dict[int, FrozenFile] = {}
        for (process, fd, look), index in zip(seen, first, strict=True):
            file = files.get(index)
            if file is None:
                file = files[index] = self._new_file(look)
            file.holders.append((process, fd))
            process.fds[fd] = FrozenFd(fd, look.cloexec, file, look.info.get("lock", []))

    def _new_file(self, look: _Look, ours: int = -1) -> FrozenFile:
        file = FrozenFile(FileId(len(self.all_files)), self, look, ours)
        self.all_files.append(file)
        self._alike[look.key].append(file)
        return file

    def under_way(self, fd: int) -> FrozenFile:
        """The open file of a descriptor that waits in a socket, and that we were given a copy of.

        `fd` is ours to close from now on. Where no process has the file open yet, it is a new one,
        behind all others in `all_files`.
        """
        look = _look(OURSELVES, fd)
        alike = self._alike[look.key]
        descriptors = [file.descriptor(look.key) for file in alike]
        path_only = bool(look.flags & os.O_PATH)
        descriptors.append(Descriptor(OURSELVES, fd, look.key, path_only, look.signals))
        first = same(descriptors)[-1]
        if first == len(alike):
            return self._new_file(look, fd)
        os.close(fd)
        return alike[first]

    def _read_zombies(self) -> None:
        alive = {p.rpid for p in self.processes}
        for parent in self.processes:
            for rpid in procfs.children(parent.rpid):
                if rpid not in alive and (vpid := self.vpid(rpid)):
                    self.zombies.append(self._read_zombie(parent, Rpid(rpid), vpid))

    def _read_zombie(self, parent: FrozenProcess, rpid: Rpid, vpid: Vpid) -> Zombie:
        p_pid, nohang_exited_nowait_all = 1, 0x1 | 0x4 | 0x01000000 | 0x40000000
        program = Program()
        info = program.buffer(128)
        program.call("waitid", p_pid, rpid, info, nohang_exited_nowait_all, 0)
        raw = parent.run(program).bytes(info)
        _signo, _errno, code = struct.unpack_from("<iii", raw)
        (status,) = struct.unpack_from("<i", raw, 24)
        fields = procfs.stat_fields(f"/proc/{rpid}/stat")
        pgid, sid = (self.vpid(int(value)) or Vpid(0) for value in fields[2:4])
        comm = procfs.read(f"/proc/{rpid}/comm").rstrip("\n")
        return Zombie(vpid, parent.vpid, pgid, sid, code, status, comm, int(fields[35]))


def _in_stub(m: procfs.Map) -> bool:
    return lib.zt_stub_start() <= m.start < lib.zt_stub_end()


def _parents_first(processes: list[FrozenProcess]) -> Iterator[FrozenProcess]:
    children: dict[int, list[FrozenProcess]] = defaultdict(list)
    known = {p.vpid for p in processes}
    for process in processes:
        children[process.ppid if process.ppid in known else SUPERVISOR].append(process)
    waiting = list(reversed(children[SUPERVISOR]))
    while waiting:
        process = waiting.pop()
        yield process
        waiting += reversed(children[process.vpid])

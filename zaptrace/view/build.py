"""What restore fills.

A room registers its work with `build.at(stage, ...)`. Stages are barriers: every process passes one
before any goes on to the next.

    CLAIM    every id, path, port and ability needed is there, or the restore failed with nothing changed
    SHARED   things of no process exist: files, pipes, sockets, memory objects, in the supervisor
    FORK     every process exists, with its parent, session and group, executing its own program,
             and born with what it shares with its relatives
    MEMORY   every process has its memory
    THREADS  every thread exists
    FILES    every process has its descriptors
    OWN      what only a process itself can set, or what names one as an owner, is set
    RESUME   registers, signals and timers are loaded; the pod is whole, and still frozen
"""

from __future__ import annotations

import array
import enum
import errno
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVarTuple

from ..errors import BadImage, RestoreError
from ..ids import FileId, Rpid, Vpid
from ..linux.native import Handle, lib
from ..linux.program import Program, Results
from ..linux.tracee import Thread
from .files import Files
from .scrollback import Scrollback
from .store import Stored, of_room

if TYPE_CHECKING:
    from ..image.image import Image

Ts = TypeVarTuple("Ts")

Work = tuple[str, Callable[..., object], tuple[object, ...]]
"""The room that registered it, a function, and its arguments."""

CHANNEL = 0
"""Until its own descriptors are there, a process has this one: a socket on which files come."""


_HELD = (errno.EADDRINUSE, errno.EAGAIN, errno.EACCES)
"""What bind(2), flock(2) and fcntl(2) answer when somebody else holds it."""


BULK = 1 << 16
"""Bytes of one piece of contents above which a rehearsal leaves them out."""


@dataclass(frozen=True)
class Deferred:
    """What is done at the last moment before the thaw, or given up when no thaw comes."""

    work: Callable[[], None]
    give_up: Callable[[], None] = lambda: None


class Stage(enum.IntEnum):
    CLAIM = 0
    SHARED = 1
    FORK = 2
    MEMORY = 3
    THREADS = 4
    FILES = 5
    OWN = 6
    RESUME = 7


@dataclass
class BuildProcess:
    """A process being restored. It exists from the end of FORK on."""

    handle: Handle
    vpid: Vpid
    rpid: Rpid
    threads: dict[int, Thread] = field(default_factory=dict)
    first_has_ended: bool = False
    """Another thread runs its programs from then on."""
    _programs: dict[Stage, Program] = field(default_factory=dict)

    @property
    def leader(self) -> Thread:
        if self.first_has_ended:
            return next(thread for vtid, thread in self.threads.items() if vtid != self.vpid)
        return Thread(self.handle, self.rpid, self.vpid)

    def program(self, stage: Stage) -> Program:
        """The rows of all rooms for this process, run at the end of the stage."""
        return self._programs.setdefault(stage, Program())

    def run(self, program: Program) -> Results:
        """Run a program at once."""
        return self.leader.run(program)

    def run_stage(self, stage: Stage) -> None:
        program = self._programs.pop(stage, None)
        if program:
            self.run(program)


class Birth(NamedTuple):
    """How a copy of a memory comes to be: whose, and at which step of the plan of births (of the
    first helper, where a helper stands between)."""

    maker: int
    step: int


@dataclass
class Build:
    """A pod on its way from an image to life. Owns every descriptor that it was given.

    `launch(exe, vpid)` makes a process of the supervisor's own, `end(rpid, signal)` ends one,
    `stop(rpid, signal)` puts one into a group-stop, and `go_on(rpid)` takes it out by SIGCONT.
    `terminals` says which terminal a session's leader has to take (filled at SHARED): before its
    children are born, for only by birth do they get it too.
    `makers` says which processes are forked from which and execute nothing, and `births` how memories
    come to be by that; `sow` is what has to be done to a process before it makes others, and
    `before_birth` just before a step: pages that are there then are shared by copy-on-write (all
    filled at SHARED, in this order).
    `stored` is the store of the pod, which the tracer has already.
    `contended`: the pod may still live on this very host, frozen, holding its addresses and locks.
    `no_way_back`: by the thaw its former self will have ended, and what fails then is lost.
    `rehearsal`: it does, and goes on living: everything is made, to be thrown away, but nothing that
    others could notice (a path, a port, a byte in a named pipe), and bulk contents are left out.
    `meanwhile`: where a file lies that is at its path only from the thaw on.
    `allow_changed`: paths of files that may be other ones than they were; the user says so.
    `ports`, `sockets`: at which other ones, and at which other paths, those are listened at that the user
    says so of.
    `last` is done when all stages are through, then `loads`: a thread whose registers are loaded can
    do nothing more for us. `before_thaw` is done at the last moment before the pod runs.
    """

    handle: Handle
    image: Image
    name: str
    launch: Callable[[str, int], Rpid]
    end: Callable[[int, int], None]
    stop: Callable[[int, int], None]
    go_on: Callable[[int], None]
    channel: socket.socket
    before_thaw: list[Deferred] = field(default_factory=list)
    last: list[Callable[[], None]] = field(default_factory=list)
    loads: list[Callable[[], None]] = field(default_factory=list)
    contended: bool = False
    no_way_back: bool = False
    rehearsal: bool = False
    allow_changed: frozenset[bytes] = frozenset()
    ports: dict[int, int] = field(default_factory=dict)
    sockets: dict[bytes, bytes] = field(default_factory=dict)
    meanwhile: dict[bytes, bytes] = field(default_factory=dict)
    stdio: dict[str, int] = field(default_factory=dict)
    tty_master: int | None = None
    scrollback: Scrollback | None = None
    terminals: dict[int, str] = field(default_factory=dict)
    makers: dict[int, int] = field(default_factory=dict)
    births: dict[int, Birth] = field(default_factory=dict)
    sow: dict[int, Callable[[BuildProcess], None]] = field(default_factory=dict)
    before_birth: dict[int, Callable[[], None]] = field(default_factory=dict)
    stored: list[Stored] = field(default_factory=list)
    processes: dict[Vpid, BuildProcess] = field(default_factory=dict)
    _work: dict[Stage, list[Work]] = field(default_factory=dict)
    _files: Files = field(default_factory=Files)
    _inodes: dict[tuple[int, int], FileId] = field(default_factory=dict)
    _objects: Files = field(default_factory=lambda: Files(share=8))
    room: str = ""

    def at(self, stage: Stage, work: Callable[[*Ts], object], *args: *Ts) -> None:
        """Have `work(*args)` done at `stage`, after what earlier rooms registered for it."""
        self._work.setdefault(stage, []).append((self.room, work, args))

    def work(self, stage: Stage) -> list[Work]:
        """What is registered for a stage."""
        return self._work.get(stage, [])

    def store(self, room: str) -> dict[bytes, bytes]:
        """What the lower half of a room had noted, and has again, oldest first."""
        return of_room(self.stored, room)

    def process(self, vpid: int) -> BuildProcess:
        try:
            return self.processes[Vpid(vpid)]
        except KeyError:
            raise BadImage(f"bad image: there is no process {vpid}") from None

    def rpid(self, vpid: int) -> int:
        """This host's number for an id of the pod (also of a group or session without a leader)."""
        rpid = lib.zt_ids_to_real(self.handle, vpid)
        if not rpid:
            raise BadImage(f"bad image: id {vpid} belongs to nothing")
        return rpid

    def real_or_zero(self, vpid: int) -> int:
        """The same, or 0 for an id that is in the pod no more (the sender of a signal, say)."""
        return lib.zt_ids_to_real(self.handle, vpid)

    def at_thaw(self, work: Callable[[], None], give_up: Callable[[], None] = lambda: None) -> None:
        """Do `work` just before the pod runs; `give_up` instead if it never does."""
        self.before_thaw.append(Deferred(work, give_up))

    def needed(self, size: int) -> int:
        """How many of `size` bytes of contents have to be in place: in a rehearsal, few of many."""
        return min(size, BULK) if self.rehearsal else size

    def or_when_free(
        self,
        work: Callable[[], None],
        give_up: Callable[[], None] = lambda: None,
        at_last: Callable[[], None] | None = None,
    ) -> bool:
        """Do `work`; in a contended build, what is held now is taken just before the thaw instead: by
        `at_last`, if that is given. False: so it will be.

        A migration within one host hands over what only one can hold: a port, a path, a lock.
        """
        try:
            work()
            return True
        except OSError as error:
            if not self.contended or error.errno not in _HELD:
                give_up()
                raise
            self.at_thaw(at_last or work, give_up)
            return False

    def provide(self, file_id: int, fd: int) -> None:
        """`fd` is the open file description `file_id`; it is ours to close."""
        self._files.provide(FileId(file_id), fd)

    def file(self, file_id: int) -> int:
        """A descriptor of ours for it, good until many others are asked for."""
        return self.files([file_id])[0]

    def files(self, file_ids: list[int]) -> list[int]:
        """The same for at most 200."""
        try:
            return self._files.get([FileId(file_id) for file_id in file_ids])
        except KeyError as error:
            raise BadImage(f"bad image: there is no open file {error}") from None

    def provide_inode(self, device: int, inode: int, fd: int) -> None:
        """What was this inode is now the one that `fd` opens, which is ours to close."""
        file_id = self._inodes[device, inode] = FileId(len(self._objects))
        self._objects.provide(file_id, fd)

    def has_inode(self, device: int, inode: int) -> bool:
        """Is there an object that replaces an inode of the image?"""
        return (device, inode) in self._inodes

    def inode(self, device: int, inode: int) -> int | None:
        """A descriptor of that object, good until 200 others were asked for; or None."""
        file_id = self._inodes.get((device, inode))
        return None if file_id is None else self._objects.get([file_id])[0]

    def pass_files(self, process: BuildProcess, fds: list[int]) -> list[int]:
        """Give a process descriptors of ours (SCM_RIGHTS); the numbers that they have there."""
        if not fds:
            return []
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
        self.channel.sendmsg([b"f"], [rights])
        program = Program()
        control = program.buffer(socket.CMSG_SPACE(4 * len(fds)))
        iov = program.pointer(struct.pack("<QQ", 0, 1), {0: program.buffer(1)})
        message = program.pointer(
            struct.pack("<QQQQQQQ", 0, 0, 0, 1, 0, control.size, 0), {16: iov, 32: control}
        )
        program.call("recvmsg", CHANNEL, message, 0)
        raw = process.run(program).bytes(control)
        (size,) = struct.unpack_from("<Q", raw)  # of what there was room for in its table
        if size != socket.CMSG_LEN(4 * len(fds)):
            raise RestoreError(
                f"cannot restore process {process.vpid}: it has no room for its open files",
                vpid=process.vpid,
                needed="a number for each, and one that is free until all are there",
                found="the hard limit on open files of this host (ulimit -Hn)",
                do="raise it, or have the program close one",
            )
        return list(struct.unpack_from(f"<{len(fds)}i", raw, socket.CMSG_LEN(0)))

    def take_files(self, process: BuildProcess, fds: list[int]) -> list[int]:
        """Have descriptors that a process has made; they are closed there."""
        rights = struct.pack("<QII", socket.CMSG_LEN(4 * len(fds)), socket.SOL_SOCKET, 1)
        rights += struct.pack(f"<{len(fds)}i", *fds)
        program = Program()
        iov = program.pointer(struct.pack("<QQ", 0, 1), {0: program.data(b"f")})
        control = program.data(rights.ljust(socket.CMSG_SPACE(4 * len(fds)), b"\0"))
        message = program.pointer(
            struct.pack("<QQQQQQQ", 0, 0, 0, 1, 0, control.size, 0), {16: iov, 32: control}
        )
        program.call("sendmsg", CHANNEL, message, 0)
        for fd in fds:
            program.call("close", fd)
        process.run(program)
        _, taken, _, _ = socket.recv_fds(self.channel, 1, len(fds), socket.MSG_CMSG_CLOEXEC)
        return taken

    def close_inodes(self) -> None:
        """Close what replaces inodes of the image; from then on there is none."""
        self._objects.close()
        self._inodes.clear()

    def close(self) -> None:
        """Close every descriptor that was provided."""
        self._files.close()
        self.close_inodes()

"""POSIX message queues, mq_overview(7): descriptors of queues, what is in them, who is told.

The kernel keeps of a queue: its name, owner and mode, how many messages of what size it may hold,
messages with their priorities, and one process that is told of the next message in an empty queue.
Messages can only be read by taking them: they are taken and put back, in their order, while nobody
runs. How the process is told the C half has noted: by a signal, not at all, or, where the C library is
to start a thread (SIGEV_THREAD), by some bytes through a netlink socket. These are sent as well when it
is no longer to be told: what a look causes so is read from that socket again.
A queue outlives its users, and is found by its name by everybody on the host: one that is there at a
restore, made alike, is used, with the contents that it had in the pod. Names are not the pod's own.
Not carried: who waits first for a message or for room.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ..errors import BadImage, Unsettled
from ..linux.program import Data as ProgramData
from ..linux.program import Program, number_of
from ..log import log
from ..shapes import (
    I64,
    U32,
    U64,
    Data,
    Fd,
    Length,
    Mode,
    NamesLiving,
    NoNul,
    OneOf,
    Range,
    Signal,
    Size,
)
from ..view.build import Stage
from .common.file import (
    Description,
    closed_on_failure,
    described,
    finish,
    opened,
    restoring,
    unsupported,
)
from .common.libc import checked, libc
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "mqueue"

_GONE = " (deleted)"
_ATTRIBUTES = struct.Struct("<8q")
"""struct mq_attr: flags, most messages, their size, how many there are."""
_EVENT = struct.Struct("<Qii")
"""The head of struct sigevent: value, signal, kind."""
_KEY = struct.Struct("<i")
_SIGEV_THREAD, _COOKIE = 2, 32
_REMOVED = 2
"""NOTIFY_REMOVED, the last byte of what is sent to who is no longer told."""


@dataclass(frozen=True)
class Message:
    priority: Annotated[int, Range(0, 32767)]
    text: Data


@dataclass(frozen=True)
class Told:
    """The process that is told of the next message in an empty queue."""

    vpid: NamesLiving
    fd: Fd
    """A descriptor of the queue that it has: who closes one is told no more."""
    kind: Annotated[int, OneOf(0, 1, _SIGEV_THREAD)]
    """SIGEV_SIGNAL, SIGEV_NONE or SIGEV_THREAD."""
    signal: Signal
    value: U64
    socket: Fd = 0
    """Of SIGEV_THREAD: a netlink socket of the process, ..."""
    cookie: Annotated[bytes, Length(0, _COOKIE)] = b""
    """... and what is sent through it."""


@dataclass(frozen=True)
class Queue:
    name: Annotated[str, Length(1, 255), NoNul()]
    removed: bool
    mode: Mode
    uid: U32
    gid: U32
    times: Annotated[list[I64], Length(2)]
    """Of the last access and the last change, in ns."""
    most: Annotated[int, Range(1, 1 << 20)]
    size: Annotated[int, Range(1, 1 << 24)]
    messages: list[Message]
    told: Told | None


@dataclass(frozen=True)
class State(Description):
    queue: U32
    """Descriptions with the same number are of one queue."""
    of: Queue | None
    """At its first description."""
    pos: Size
    cloexec: bool
    """It was opened with O_CLOEXEC, which of all files only these go on to show (F_GETFL)."""


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISREG(file.stat.st_mode) or file.link.count("/") != 1:
        return False
    try:
        _attributes(file.local)
    except OSError:
        return False
    return True


def is_note(key: bytes, value: bytes) -> bool:
    return len(key) > _KEY.size and len(value) in (_EVENT.size, _EVENT.size + _COOKIE)


def verify(states: list[State], whole: Whole) -> None:
    known: set[int] = set()
    for state in states:
        if (state.queue in known) != (state.of is None):
            raise bad(f"message queue {state.queue} is told of twice, or not at first")
        known.add(state.queue)
        if state.of is None:
            continue
        if "/" in state.of.name:
            raise bad(f"message queue {state.queue} has a name that none can have")
        if (told := state.of.told) and (told.kind == _SIGEV_THREAD) != (
            len(told.cookie) == _COOKIE
        ):
            raise bad(f"message queue {state.queue} tells in a way that there is not")
        longest = max((len(message.text) for message in state.of.messages), default=0)
        if len(state.of.messages) > state.of.most or longest > state.of.size:
            raise bad(f"message queue {state.queue} holds more than it can")


def capture(pod: FrozenPod) -> list[State]:
    states: list[State] = []
    numbers: dict[tuple[int, int], int] = {}
    for file in pod.files(NAME):
        key = (file.stat.st_dev, file.stat.st_ino)
        queue = None if key in numbers else _queue(pod, file)
        number = numbers.setdefault(key, len(numbers))
        shown = fcntl.fcntl(file.local, fcntl.F_GETFL)
        states.append(
            State(
                **described(pod, file),
                queue=number,
                of=queue,
                pos=file.pos,
                cloexec=bool(shown & os.O_CLOEXEC),
            )
        )
    return states


def _queue(pod: FrozenPod, file: FrozenFile) -> Queue:
    _, most, size, count, *_ = _attributes(file.local)
    with opened(f"/proc/self/fd/{file.local}", os.O_RDWR | os.O_NONBLOCK) as fd:
        told = _told(pod, file, fd)
        return Queue(
            name=file.link.removesuffix(_GONE)[1:],
            removed=file.stat.st_nlink == 0,
            mode=stat.S_IMODE(file.stat.st_mode),
            uid=file.stat.st_uid,
            gid=file.stat.st_gid,
            times=[file.stat.st_atime_ns, file.stat.st_mtime_ns],
            most=most,
            size=size,
            messages=_look(pod, file, fd, size, told) if count else [],
            told=told,
        )


def _told(pod: FrozenPod, file: FrozenFile, fd: int) -> Told | None:
    fields = dict(part.split(":") for part in os.read(fd, 200).decode().split())
    if not int(fields["NOTIFY_PID"]):
        return None
    vpid = pod.vpid(int(fields["NOTIFY_PID"]))
    if vpid is None:
        raise unsupported(
            file,
            "a message queue that tells a process outside of the pod",
            needed="a queue that the pod alone uses",
            found=f"process {fields['NOTIFY_PID']} is told of the next message (mq_notify)",
        )
    noted = pod.store(NAME).get(_KEY.pack(vpid) + os.fsencode(file.link))
    value, signal, kind = _EVENT.unpack_from(noted) if noted else (0, 0, _SIGEV_THREAD)
    key = (file.stat.st_dev, file.stat.st_ino)
    fds = pod.process(vpid).fds
    number = next(n for n, one in fds.items() if _key(one.file) == key)
    if kind != _SIGEV_THREAD:
        return Told(vpid, number, kind, signal, value)
    if not noted or signal not in fds or not fds[signal].file.link.startswith("socket:"):
        raise unsupported(
            file,
            "a message queue that starts a thread for a message",
            needed="the socket by which the C library is told, open still",
            found=f"mq_notify with SIGEV_THREAD in process {vpid}, and fd {signal}, which is none",
        )
    return Told(vpid, number, kind, 0, 0, signal, noted[_EVENT.size :])


def _key(file: FrozenFile) -> tuple[int, int]:
    return file.stat.st_dev, file.stat.st_ino


def _look(pod: FrozenPod, file: FrozenFile, fd: int, size: int, told: Told | None) -> list[Message]:
    """Taken, and put back: into an empty queue without anybody being told."""
    if told is not None and told.cookie:
        _refuse_unread(pod, told)
    messages = _take_all(fd, size)
    if told is not None:
        pod.process(told.vpid).run(_telling(told.fd, None))
        if told.cookie:
            _unsay(pod, told)
    try:
        _put_all(fd, messages)
    finally:
        if told is not None:
            pod.process(told.vpid).run(_telling(told.fd, told))
        os.utime(fd, ns=(file.stat.st_atime_ns, file.stat.st_mtime_ns))
    return messages


def _socket(pod: FrozenPod, told: Told) -> socket.socket:
    file = pod.process(told.vpid).fds[told.socket].file
    return socket.socket(fileno=os.dup(file.local))


def _refuse_unread(pod: FrozenPod, told: Told) -> None:
    with _socket(pod, told) as sock, contextlib.suppress(BlockingIOError):
        sock.recv(_COOKIE, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        raise unsupported(
            pod.process(told.vpid).fds[told.socket].file,
            "tells of a message in a queue, and is not read yet",
            needed="a process that has started the thread that it is told to",
            found="something that waits in its netlink socket",
            kind=Unsettled,
        )


def _unsay(pod: FrozenPod, told: Told) -> None:
    """That it is no longer told, which it was told."""
    with _socket(pod, told) as sock:
        said = sock.recv(_COOKIE, socket.MSG_DONTWAIT)
        if said != told.cookie[:-1] + bytes([_REMOVED]):
            log.warning("a message queue has told of something else: %r", said)


def _telling(number: int, told: Told | None) -> Program:
    """A process asks to be told, or no more."""
    program = Program()
    event: ProgramData | int = 0
    if told is not None:
        raw = _EVENT.pack(told.value, told.socket or told.signal, told.kind).ljust(64, b"\0")
        event = program.pointer(raw, {0: program.data(told.cookie)} if told.cookie else {})
    program.call("mq_notify", number, event)
    return program


def _attributes(fd: int) -> tuple[int, ...]:
    raw = ctypes.create_string_buffer(_ATTRIBUTES.size)
    checked(libc.syscall(number_of("mq_getsetattr"), fd, None, raw))
    return _ATTRIBUTES.unpack(raw.raw)


def _take_all(fd: int, size: int) -> list[Message]:
    found: list[Message] = []
    text, priority = ctypes.create_string_buffer(size), ctypes.c_uint()
    while _attributes(fd)[3]:
        got = libc.syscall(
            number_of("mq_timedreceive"), fd, text, size, ctypes.byref(priority), None
        )
        found.append(Message(priority.value, text.raw[: checked(got)]))
    return found


def _put_all(fd: int, messages: list[Message]) -> None:
    send = number_of("mq_timedsend")
    for one in messages:
        checked(libc.syscall(send, fd, one.text, len(one.text), one.priority, None))


# -- restore


def restore(states: list[State], build: Build) -> None:
    made: dict[int, bytes] = {}
    for state in states:
        build.at(Stage.SHARED, _make, state, made, build)
    for state in states:
        if state.of is not None and state.of.removed:
            build.at(Stage.SHARED, _remove, state, made)
    for state in states:
        if state.of is not None and state.of.told is not None and not build.rehearsal:
            build.at(Stage.RESUME, _tell, state.of.told, build)


def _make(state: State, made: dict[int, bytes], build: Build) -> None:
    with restoring(NAME, Stage.SHARED, f"message queue {state.queue}", "see mq_overview(7)"):
        if state.of is not None:
            made[state.queue] = _queue_again(state.of, build)
        if state.queue not in made:
            raise BadImage(f"bad image: there is no message queue {state.queue}")
        fd = _open(made[state.queue], state.flags | (os.O_CLOEXEC if state.cloexec else 0))
        with closed_on_failure(fd):
            os.set_inheritable(fd, False)
            os.lseek(fd, state.pos, os.SEEK_SET)
        finish(build, state, fd)


def _queue_again(queue: Queue, build: Build) -> bytes:
    """The name that it has until all of its descriptions are there."""
    name = os.fsencode(queue.name)
    attributes = _ATTRIBUTES.pack(0, queue.most, queue.size, 0, 0, 0, 0, 0)
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    new = True
    try:
        fd = _open(name, flags | os.O_EXCL, attributes)
    except FileExistsError:
        new = queue.removed  # then somebody else has its name by now
        name += b".removed" if new else b""
        fd = _open(name, flags | (os.O_EXCL if new else 0), attributes)
    try:
        if _attributes(fd)[1:3] != (queue.most, queue.size):
            raise OSError(errno.EEXIST, f"another queue has the name /{queue.name}")
        if new:
            os.fchmod(fd, queue.mode)
            if (queue.uid, queue.gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, queue.uid, queue.gid)
        if new or not (build.contended or build.rehearsal):
            _take_all(fd, queue.size)
            _put_all(fd, queue.messages)
            os.utime(fd, ns=(queue.times[0], queue.times[1]))
    finally:
        os.close(fd)
    return name


def _remove(state: State, made: dict[int, bytes]) -> None:
    checked(libc.syscall(number_of("mq_unlink"), made[state.queue]))


def _open(name: bytes, flags: int, attributes: bytes | None = None) -> int:
    return checked(libc.syscall(number_of("mq_open"), name, flags, 0o600, attributes))


def _tell(told: Told, build: Build) -> None:
    process = build.process(told.vpid)

    def tell() -> None:
        process.run(_telling(told.fd, told))

    if build.contended:
        build.at_thaw(tell)  # until then the original is told
    else:
        tell()

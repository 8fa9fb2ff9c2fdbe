"""pipe(2) and named pipes: contents, capacity, packet mode, and which ends are open.

An end may be open any number of times (/proc/self/fd reopens it), or not at all: a pipe that has
lost all readers or writers stays so. The contents are copied with tee(2), which takes nothing out.
A pipe is full when it has no slot left, and each slot may hold less than a page: each is one again.

Not carried: a pipe whose other end is held outside the pod (stdio apart); that is refused.

No C half: a pipe is known by its descriptors alone.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import stat
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..errors import RestoreError
from ..linux import outside
from ..shapes import Data, Path, Range
from ..view.build import Stage
from .common import nameless
from .common.file import Description, described, finish, reopen, restoring, unsupported
from .common.inode import Inodes
from .common.libc import checked, libc
from .common.permission import Permission, open_anyway
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "pipe"

_SPLICE_F_NONBLOCK = 2
_PAGE = 4096
_O_LARGEFILE = 0o100000  # which open(2) adds, and os.O_LARGEFILE does not have here
_NOT_AT_OPEN = os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_ASYNC | os.O_DIRECT


@dataclass(frozen=True)
class State:
    ends: list[Description]
    path: Path | None
    """Where a named pipe is found, or was before it lost that name; None for pipe(2)."""
    gone: bool
    permission: Permission
    capacity: Annotated[int, Range(1, 1 << 31)]
    """As fcntl F_GETPIPE_SZ gives it."""
    contents: list[Data]
    """One item per slot."""
    packets: bool
    """Is what is written from now on a packet?"""
    bounded: list[bool] = field(default_factory=list[bool])
    """Which of the slots are packets, at whose end a read ends; empty: all or none, as `packets` says."""


def claims(file: FrozenFile) -> bool:
    return stat.S_ISFIFO(file.stat.st_mode) and not file.flags & os.O_PATH


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        size = sum(map(len, state.contents))
        if not state.ends or size > state.capacity:
            raise bad(
                "a pipe holds more than it can, or nobody has it",
                f"at most {state.capacity} bytes",
                f"{size} bytes",
            )
        if state.bounded and len(state.bounded) != len(state.contents):
            raise bad("a pipe's packets are not those that it holds")
        if state.path is not None and not state.path.startswith(b"/"):
            raise bad("a named pipe has no path")


def capture(pod: FrozenPod) -> list[State]:
    pipes: dict[tuple[int, int], list[FrozenFile]] = {}
    for file in pod.files(NAME):
        pipes.setdefault((file.stat.st_dev, file.stat.st_ino), []).append(file)
    return [_capture(pod, files) for files in pipes.values()]


def restore(states: list[State], build: Build) -> None:
    # The largest first: of a user with many pipes, those that come last are small ones.
    for state in sorted(states, key=lambda state: state.capacity, reverse=True):
        build.at(Stage.CLAIM, _claim, state)
        build.at(Stage.SHARED, _make, state, build)


def _capture(pod: FrozenPod, files: list[FrozenFile]) -> State:
    reader = next((f for f in files if _reads(f.flags)), None)
    writer = next((f for f in files if _writes(f.flags)), None)
    some = files[0]
    if reader is None and writer is not None and not _lost_readers(writer.local):
        raise _outside(writer, "reading")
    if writer is None and reader is not None and not _lost_writers(reader.local):
        raise _outside(reader, "writing")
    path, gone = _name(some)
    slots = _contents(reader or some)
    return State(
        ends=[Description(**described(pod, file)) for file in files],
        path=path,
        gone=gone,
        permission=Permission.of(some.stat),
        capacity=fcntl.fcntl(some.local, fcntl.F_GETPIPE_SZ),
        contents=[data for data, _ in slots],
        packets=any(f.flags & os.O_DIRECT for f in files),
        bounded=[packet for _, packet in slots],
    )


def _name(some: FrozenFile) -> tuple[bytes | None, bool]:
    """(where it is or was, has it lost that name?)"""
    if some.link.startswith("pipe:"):
        return None, False
    inode = Inodes.of(some.pod).opened(some)
    if inode.hidden:
        raise unsupported(
            some,
            "is a named pipe that cannot be reached by its name",
            needed="the named pipe at the path that it was opened by",
            do="close it, or make it with pipe(2)",
        )
    return (inode.was, True) if inode.path is None else (inode.path, False)


def _reads(flags: int) -> bool:
    return flags & os.O_ACCMODE != os.O_WRONLY


def _writes(flags: int) -> bool:
    return flags & os.O_ACCMODE != os.O_RDONLY


def _outside(file: FrozenFile, doing: str) -> Exception:
    return unsupported(
        file,
        "is a pipe to a process outside the pod",
        needed="both ends of the pipe in the pod, or the other end closed",
        found=f"{file.link}: a process that is not in the pod has the {doing} end",
        do="start that process in the pod too, or give the pipe as stdin, stdout or stderr",
    )


def _events(fd: int) -> int:
    poll = select.poll()
    poll.register(fd, 0)
    return next((events for _, events in poll.poll(0)), 0)


def _lost_readers(fd: int) -> bool:
    return bool(_events(fd) & select.POLLERR)


def _lost_writers(fd: int) -> bool:
    if _events(fd) & select.POLLHUP:
        return True
    if _queued(fd):
        return False
    # A reader that was opened when there was no writer never sees POLLHUP, but tee of an empty
    # pipe says 0 where no writer is left and EAGAIN where one is.
    scratch_r, scratch_w = os.pipe()
    try:
        teed: int = libc.tee(fd, scratch_w, 1, _SPLICE_F_NONBLOCK)
        return teed == 0
    finally:
        os.close(scratch_r)
        os.close(scratch_w)


def _queued(fd: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def _contents(file: FrozenFile) -> list[tuple[bytes, bool]]:
    """What a reader would get, slot by slot, and whether that is a packet, without taking it.

    One that has lost its readers is opened for that: its writers may do so too.
    """
    total = _queued(file.local)
    if not total:
        return []
    r, w = os.pipe()
    try:
        # As many slots as the pipe has, for tee copies slot by slot.
        fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, fcntl.fcntl(file.local, fcntl.F_GETPIPE_SZ))
        with _read_end(file) as source:
            copied = checked(libc.tee(source, w, total, _SPLICE_F_NONBLOCK))
        if copied != total:
            raise OSError(errno.EIO, f"tee gave {copied} of {total} bytes")
        slots = list[tuple[bytes, bool]]()
        with _narrow() as (one, take), _pipe() as (looked_at, look):
            while total:
                size = os.splice(r, take, total, flags=_SPLICE_F_NONBLOCK)
                os.splice(one, look, size, flags=_SPLICE_F_NONBLOCK)
                os.write(look, b".")  # a read goes on to it, but from a packet
                data = os.read(looked_at, size + 1)
                is_packet = len(data) == size
                slots.append((data[:size], is_packet))
                if is_packet:
                    os.read(looked_at, 1)
                total -= size
        return slots
    except OSError as error:
        raise unsupported(
            file,
            f"holds {total} bytes that cannot be copied",
            needed="a second pipe as large as this one",
            found=error.strerror or str(error),
            do="raise /proc/sys/fs/pipe-user-pages-soft",
        ) from error
    finally:
        os.close(r)
        os.close(w)


@contextlib.contextmanager
def _narrow() -> Iterator[tuple[int, int]]:
    """A pipe of one slot."""
    with _pipe() as (r, w):
        fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, _PAGE)
        yield r, w


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    r, w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield r, w
    finally:
        os.close(r)
        os.close(w)


@contextlib.contextmanager
def _read_end(file: FrozenFile) -> Iterator[int]:
    own = -1 if _reads(file.flags) else reopen(file.local, os.O_RDONLY)
    try:
        yield file.local if own < 0 else own
    finally:
        if own >= 0:
            os.close(own)


def _claim(state: State) -> None:
    if state.path is None or state.gone:
        return
    shown = os.fsdecode(state.path)
    with restoring(NAME, Stage.CLAIM, f"the named pipe {shown}", f"mkfifo {shown}"):
        mode = outside.stat(state.path).st_mode
    if not stat.S_ISFIFO(mode):
        raise RestoreError(
            f"cannot restore the named pipe {shown}",
            stage=Stage.CLAIM.name,
            resource=NAME,
            needed="a named pipe",
            found="another kind of file",
            do=f"mkfifo {shown}",
        )


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "a pipe"):
        if state.gone:
            was, quiet = state.path or b"", build.rehearsal
            with nameless.other(was, stat.S_IFIFO, b"", quiet=quiet) as file:
                _make_named(state, build, file.open)
                state.permission.give(f"/proc/self/fd/{file.fd}")
        elif state.path is not None and not build.rehearsal:
            _make_named(state, build, partial(_open_named, state.path))
        else:  # a named one is the original's in a rehearsal: its ends and bytes may not change
            _make_plain(state, build)


def _open_named(path: bytes, flags: int) -> int:
    return open_anyway(path, flags | os.O_CLOEXEC, rehearsal=False)


def _make_named(state: State, build: Build, opener: Callable[[int], int]) -> None:
    both = opener(os.O_RDWR | os.O_NONBLOCK)  # first: no open waits when both ends are there
    try:
        _prepare(state, both, build)
        for end in state.ends:
            finish(build, end, opener((end.flags & ~_NOT_AT_OPEN) | os.O_NONBLOCK))
    finally:
        os.close(both)


def _make_plain(state: State, build: Build) -> None:
    r, w = os.pipe2(os.O_CLOEXEC)
    try:
        _prepare(state, w, build)
        made = set()
        for end in state.ends:
            mode = end.flags & os.O_ACCMODE
            if mode in made or mode == os.O_RDWR or end.flags & _O_LARGEFILE:
                fd = reopen(r, mode)
            else:  # the description that pipe(2) made, which alone lacks O_LARGEFILE
                fd = os.dup(r if mode == os.O_RDONLY else w)
                made.add(mode)
            finish(build, end, fd)
    finally:
        os.close(r)
        os.close(w)


def _prepare(state: State, fd: int, build: Build) -> None:
    """Its capacity and contents."""
    if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) != state.capacity:
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, state.capacity)
        except PermissionError as error:
            if build.rehearsal:  # the original has what this user may have
                return
            raise _too_many(state) from error
    filler = reopen(fd, os.O_WRONLY)
    try:
        # What is in a named pipe already is our former self's, who holds it still.
        if state.contents and not _queued(filler):
            _fill(filler, state)
    finally:
        os.close(filler)


def _too_many(state: State) -> RestoreError:
    try:
        with open("/proc/sys/fs/pipe-user-pages-soft", encoding="ascii") as file:
            limit = file.read().strip()
    except OSError:  # /proc/sys is hidden
        limit = "so many"
    return RestoreError(
        f"cannot restore a pipe of {state.capacity} bytes",
        stage=Stage.SHARED.name,
        resource=NAME,
        needed="as much room in pipes as the pod had",
        found=f"all pipes of this user may have {limit} pages, and have more",
        do="end what has many pipes, or raise /proc/sys/fs/pipe-user-pages-soft",
    )


def _fill(filler: int, state: State) -> None:
    """Slot by slot: a write goes on in the last one, where there is room."""
    last = len(state.contents) - 1
    with _narrow() as (taken, give):
        for number, data in enumerate(state.contents):
            packet = state.bounded[number] if state.bounded else state.packets
            mode = os.O_DIRECT if packet else 0  # not to be had from open(2)
            fcntl.fcntl(filler, fcntl.F_SETFL, os.O_NONBLOCK | mode)
            if packet or number == last or len(data) > _PAGE:
                _write_all(filler, data)  # into the last one the program may go on to write
            elif len(data) == _PAGE:
                os.write(give, data)
                os.splice(taken, filler, len(data), flags=_SPLICE_F_NONBLOCK)
            else:  # into a slot that is parted no write goes on
                os.write(give, data + b".")
                os.splice(taken, filler, len(data), flags=_SPLICE_F_NONBLOCK)
                os.read(taken, 1)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

"""epoll(7): the files that an epoll instance watches, as /proc/PID/fdinfo shows them.

A watch is known to the kernel by the file *and* by the fd number that it was added under, which
the program will name again, so it is added back under that number: by a process that has both
(signalfd looks at the process that adds it), and where none has, by us in a process of its own.

Which file a watch is of, kcmp(2) tells. Where that is denied (the seccomp profile of a container), it
is the file that cannot be added once more under that number.

A spent EPOLLONESHOT watch is armed for what its file is ready for, and spent by a wait; that comes
before anything else is watched. An empty pipe is ready for a moment: it gets a byte, and loses it.

Not carried: which edges were seen (EPOLLET reports a ready file once more, as epoll(7) allows); a
spent EPOLLONESHOT of another file that is ready for nothing hears of EPOLLERR and EPOLLHUP until it
is armed again.

No C half: what a watch reports is the program's own data, and fd numbers are not translated.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import resource
import select
import stat
import struct
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from ..errors import UnsupportedResource
from ..shapes import U32, U64, Fd, NamesFile, NamesLivingOrNone
from ..view.build import Stage
from .common.file import Description, described, finish, reopen, restoring, unsupported
from .common.libc import apart, checked, libc
from .room import Whole, bad

if TYPE_CHECKING:
    from ..linux.program import Program
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod, FrozenProcess

NAME = "epoll"

_WATCH = re.compile(
    r"(?P<tfd>\d+)\s+events:\s*(?P<events>[0-9a-f]+)\s+data:\s*(?P<data>[0-9a-f]+)"
    r"(?:\s+pos:\s*-?\d+\s+ino:\s*(?P<ino>[0-9a-f]+)\s+sdev:\s*(?P<sdev>[0-9a-f]+))?"
)
_EVENT = struct.Struct("=IQ")  # struct epoll_event, packed on x86-64
_ADD, _DELETE = 1, 2
_ASKED = select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT | select.EPOLLRDHUP
_CONDITIONS = 0x0FFFFFFF
"""All but EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLONESHOT and EPOLLET."""
_SYS_KCMP = 312
_KCMP_EPOLL_TFD = 7
_ABOVE_STDIO = 3


@dataclass(frozen=True)
class Watch:
    number: Fd
    """The fd number that it was added under."""
    events: U32
    data: U64
    file_id: NamesFile
    vpid: NamesLivingOrNone
    """A process that has the epoll instance and the file; 0 if none has both."""
    epoll_fd: Fd
    file_fd: Fd
    """Their numbers there; `file_fd` is not `number` where the program closed that one."""
    taken: bool
    """`number` is another file there now, ..."""
    taken_cloexec: bool
    """... with this flag."""


@dataclass(frozen=True)
class State(Description):
    watches: list[Watch]


def claims(file: FrozenFile) -> bool:
    return file.link == "anon_inode:[eventpoll]"


def verify(states: list[State], whole: Whole) -> None:
    watched = {s.file_id: [watch.file_id for watch in s.watches] for s in states}
    try:
        TopologicalSorter(watched).prepare()
    except CycleError as error:
        raise bad(
            "an epoll instance watches itself", "no circle", f"{error.args[1]}"[:80]
        ) from None


def capture(pod: FrozenPod) -> list[State]:
    states = []
    for file in pod.files(NAME):
        seen: dict[int, int] = {}
        watches = []
        for line in file.info.get("tfd", []):
            found = _WATCH.match(line.strip())
            if found is None:
                raise unsupported(file, "watches something unreadable", found=f"tfd: {line}")
            number = int(found["tfd"])
            nth = seen.get(number, 0)
            seen[number] = nth + 1
            watches.append(_watch(pod, file, found, number, nth))
        states.append(State(**described(pod, file), watches=watches))
    return states


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _make, state, build)
    for state in states:
        for watch in sorted(state.watches, key=lambda watch: not _is_spent(watch)):
            build.at(Stage.OWN, _add, state, watch, build)


# capture


def _watch(pod: FrozenPod, file: FrozenFile, found: re.Match[str], number: int, nth: int) -> Watch:
    def matches(candidate: FrozenFile) -> bool:
        return _looks_alike(candidate, found) and _is_target(candidate, file, number, nth)

    def make(target: FrozenFile, process: FrozenProcess | None, epoll_fd: int, fd: int) -> Watch:
        now = process.fds.get(number) if process is not None else None
        return Watch(
            number=number,
            events=int(found["events"], 16),
            data=int(found["data"], 16),
            file_id=target.id,
            vpid=process.vpid if process is not None else 0,
            epoll_fd=epoll_fd,
            file_fd=fd,
            taken=now is not None,
            taken_cloexec=now is not None and now.cloexec,
        )

    for process, epoll_fd in file.holders:
        fd = process.fds.get(number)
        if fd is not None and matches(fd.file):
            return make(fd.file, process, epoll_fd, number)
    for process, epoll_fd in file.holders:
        for fd in process.fds.values():
            if matches(fd.file):
                return make(fd.file, process, epoll_fd, fd.number)
    for other in pod.all_files:
        if matches(other):
            return make(other, None, 0, 0)
    raise unsupported(
        file,
        f"watches a file that is open nowhere in the pod (it was fd {number})",
        needed="every file that an epoll instance watches open in the pod",
        do="let the program remove the file with EPOLL_CTL_DEL before it gives it away",
    )


def _looks_alike(candidate: FrozenFile, found: re.Match[str]) -> bool:
    if found["ino"] is None:  # before Linux 4.13
        return True
    dev = candidate.stat.st_dev
    inside = os.major(dev) << 20 | os.minor(dev)  # dev_t as the kernel has it
    return (candidate.stat.st_ino, inside) == (int(found["ino"], 16), int(found["sdev"], 16))


def _is_target(candidate: FrozenFile, epoll: FrozenFile, number: int, nth: int) -> bool:
    """Ask kcmp(2); where it is not allowed, an epoll_ctl(2)."""
    slot = struct.pack("=III", epoll.local, number, nth)
    us = os.getpid()
    differs: int = libc.syscall(_SYS_KCMP, us, us, _KCMP_EPOLL_TFD, candidate.local, slot)
    if differs >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        return differs == 0
    if nth:
        raise _cannot_tell(epoll, f"two files that it knows as fd {number}")
    if stat.S_ISSOCK(candidate.stat.st_mode):  # an inode of its own
        return True
    try:
        return apart(lambda: _is_watched(epoll.local, candidate.local, number))
    except OSError as error:
        raise _cannot_tell(epoll, f"fd {number} ({error.strerror})") from None


def _is_watched(epoll: int, file: int, number: int) -> bool:
    """In an fd table apart. A watch that there was not is gone again before anybody could see it."""
    epoll = _under(number, file, epoll)
    watch = ctypes.create_string_buffer(_EVENT.pack(0, 0))
    try:
        checked(libc.epoll_ctl(epoll, _ADD, number, watch))
    except OSError as error:
        if error.errno == errno.EEXIST:
            return True
        if error.errno in (errno.EPERM, errno.ELOOP, errno.EINVAL):
            return False  # nothing that one can watch, or not from there
        raise
    checked(libc.epoll_ctl(epoll, _DELETE, number, watch))
    return False


def _cannot_tell(file: FrozenFile, what: str) -> UnsupportedResource:
    return unsupported(
        file,
        f"watches {what}, and it cannot be told which",
        needed="kcmp(2), or one file for each number, and as many numbers of our own",
        found="kcmp is denied",
        do="allow kcmp in the container's seccomp profile, or let the program watch what it has open",
    )


# restore


def _is_spent(watch: Watch) -> bool:
    return bool(watch.events & select.EPOLLONESHOT) and not watch.events & _CONDITIONS


def _ready_for(fd: int) -> int:
    """What poll(2) says of `fd` now."""
    poll = select.poll()
    poll.register(fd, _ASKED)
    return next((events for _, events in poll.poll(0)), 0)


def _make_ready(file_id: int, build: Build) -> int:
    """What a file is ready for now; an empty pipe gets a byte, which is taken out at RESUME.

    Nobody is sent signals for it yet. A pipe with a name is not the pod's alone.
    """
    fd = build.file(file_id)
    ready = _ready_for(fd)
    writes = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    if ready or writes or not os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
        return ready
    writer = reopen(fd, os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"!")
    os.close(writer)
    build.at(Stage.RESUME, _take_the_byte, file_id, build)
    return _ready_for(fd)


def _take_the_byte(file_id: int, build: Build) -> None:
    os.read(build.file(file_id), 1)


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "an epoll instance"):
        epoll = select.epoll()
        fd = os.dup(epoll.fileno())
        epoll.close()
        finish(build, state, fd)


def _add(state: State, watch: Watch, build: Build) -> None:
    spend = _make_ready(watch.file_id, build) if _is_spent(watch) else 0
    event = _EVENT.pack(watch.events | spend, watch.data)
    if not watch.vpid:
        what = f"what an epoll instance watches as {watch.number}"
        do = "raise ulimit -n, or let the program keep the file open"
        with restoring(NAME, Stage.OWN, what, do):
            apart(lambda: _add_here(state, watch, build, event, spend))
        return
    program = build.process(watch.vpid).program(Stage.OWN)
    _add_in_process(program, watch, event)
    if spend:
        got = program.buffer(_EVENT.size)
        program.call("epoll_pwait", watch.epoll_fd, got, 1, 0, 0, 8)


def _add_in_process(program: Program, watch: Watch, event: bytes) -> None:
    """Rows for a process that has the epoll instance and the file."""
    number = watch.number
    if watch.file_fd == number:
        program.call("epoll_ctl", watch.epoll_fd, _ADD, number, program.data(event))
        return
    # The program has closed the number, or has another file there: borrow it for the call.
    saved = None
    if watch.taken:
        saved = program.call("fcntl", number, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STDIO)
    program.call("dup3", watch.file_fd, number, 0)
    program.call("epoll_ctl", watch.epoll_fd, _ADD, number, program.data(event))
    if saved is None:
        program.call("close", number)
    else:
        program.call("dup3", saved, number, os.O_CLOEXEC if watch.taken_cloexec else 0)
        program.call("close", saved)


def _add_here(state: State, watch: Watch, build: Build, event: bytes, spend: int) -> None:
    number = watch.number
    epoll = _under(number, build.file(watch.file_id), build.file(state.file_id))
    checked(libc.epoll_ctl(epoll, _ADD, number, ctypes.create_string_buffer(event)))
    if spend:
        checked(libc.epoll_wait(epoll, ctypes.create_string_buffer(_EVENT.size), 1, 0))


def _under(number: int, file: int, epoll: int) -> int:
    """In a process of its own: give the file that number; the epoll instance may need another."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if number == epoll:
        epoll = os.dup(epoll)
    os.dup2(file, number)
    return epoll

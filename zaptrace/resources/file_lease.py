"""Leases of files (fcntl F_SETLEASE): of readers and of a writer, also those that somebody breaks.

A lease is of an open file description. Who took it takes it again, by itself, when all that is opened
for the pod is open; what its former self has on this host still is taken just before the thaw. One
that was being broken is broken again by an open(2) of ours that does not wait, of which nobody is told:
its holder has been told already. Who waits in open(2) for a lease to go is a call that is issued again.

Not carried: how long a lease that is being broken is left to its holder (lease-break-time of
/proc/sys/fs begins anew); by which number it was taken, where there are several. Refused: a reader's
lease on what is open for writing, which a writer's becomes that was not given up in time; a writer's on
what is mapped as well; and one of a file that is open nowhere but on its way through a socket.

No C half: fdinfo shows a lease, and what it has to become.
"""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..linux.program import Program
from ..shapes import Fd, NamesFile, NamesLiving, OneOf
from ..view.build import Stage
from .common import leasing
from .common.file import restoring, unsupported
from .common.lending import succeeded
from .common.permission import open_anyway
from .room import Whole, bad

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..view.build import Build, BuildProcess
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "file_lease"

_F_SETLEASE = 1024
_F_SETOWN_EX, _F_GETOWN_EX, _OWNER = 15, 16, 8
_DO = "close the file wherever else it is open, then restore again"
_KINDS = {leasing.READ: fcntl.F_RDLCK, leasing.WRITE: fcntl.F_WRLCK}


@dataclass(frozen=True)
class State:
    file_id: NamesFile
    kind: Annotated[str, OneOf(leasing.READ, leasing.WRITE)]
    breaking: Annotated[str, OneOf("", leasing.READ, leasing.GONE)]
    """What it has to become; empty if nobody wants that."""
    vpid: NamesLiving
    """Who takes it."""
    fd: Fd
    """By which number."""


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("the lease of open file", [state.file_id for state in states])
    for state in states:
        if state.kind == state.breaking:
            raise bad("a reader's lease is to become a reader's")


def refuse(pod: FrozenPod) -> None:
    """Before any room opens a file."""
    for file in pod.all_files:
        if not any(map(leasing.is_lease, file.info.get("lock", []))):
            continue
        lease = leasing.lease_of(file)
        assert lease is not None
        writing = file.flags & os.O_ACCMODE != os.O_RDONLY
        line, give_back = file.info["lock"][0], "let the program give the lease back (F_UNLCK)"
        if not file.holders:
            raise unsupported(
                file,
                "holds a lease, and is open nowhere",
                needed="an open file of a process",
                found=line,
                do=give_back,
            )
        if lease.kind == leasing.READ and writing:
            raise unsupported(
                file,
                "holds a lease that was a writer's, and was not given up in time",
                needed="one that was taken as it is",
                found=line,
                do=give_back,
            )
        if lease.kind == leasing.WRITE and _is_mapped(pod, file):
            raise unsupported(
                file,
                "holds a lease that is a writer's, of a mapped file",
                needed="a file that is not mapped",
                found=line,
                do=give_back,
            )


def capture(pod: FrozenPod) -> list[State]:
    found = []
    for file in pod.all_files:
        if lease := leasing.lease_of(file):
            taker = pod.living(lease.rpid)
            process, number = next(
                (holder for holder in file.holders if holder[0].vpid == taker), file.holders[0]
            )
            found.append(State(file.id, lease.kind, lease.breaking, process.vpid, number))
    return found


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.OWN, _put_off, state, build)


def _put_off(state: State, build: Build) -> None:
    take = partial(_take, state, build.process(state.vpid))
    if build.rehearsal:
        return
    if build.no_way_back:
        build.at_thaw(take)
    else:
        build.last.append(partial(_now_or_when_free, take, build))


def _now_or_when_free(take: Callable[[], None], build: Build) -> None:
    with restoring(NAME, Stage.RESUME, "the lease of a file", _DO):
        build.or_when_free(take)


def _is_mapped(pod: FrozenPod, file: FrozenFile) -> bool:
    key = (file.stat.st_dev, file.stat.st_ino)
    return any(
        (m.device, m.inode) == key or m.name.removesuffix(" (deleted)") == file.link
        for process in pod.memories
        for m in process.maps
        if m.inode
    )


def _take(state: State, process: BuildProcess) -> None:
    """Its owner is told of nothing meanwhile, and is who it was."""
    ask, take, give_back = Program(), Program(), Program()
    owner = ask.buffer(_OWNER)
    ask.call("fcntl", state.fd, _F_GETOWN_EX, owner)
    told = process.run(ask).bytes(owner)
    row = take.call("fcntl", state.fd, _F_SETLEASE, _KINDS[state.kind], may_fail=True)
    take.call("fcntl", state.fd, _F_SETOWN_EX, take.data(bytes(_OWNER)))
    succeeded(process.run(take)[row])
    if state.breaking:
        _break(process, state)
    give_back.call("fcntl", state.fd, _F_SETOWN_EX, give_back.data(told))
    process.run(give_back)


def _break(process: BuildProcess, state: State) -> None:
    access = os.O_RDONLY if state.breaking == leasing.READ else os.O_WRONLY
    path = b"/proc/%d/fd/%d" % (process.rpid, state.fd)
    try:
        fd = open_anyway(path, access | os.O_NONBLOCK | os.O_CLOEXEC, rehearsal=False)
    except BlockingIOError:
        return
    os.close(fd)
    raise OSError(errno.EIO, "to open the file did not break its lease")

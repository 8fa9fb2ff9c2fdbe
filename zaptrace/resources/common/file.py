"""What all file kinds share: the part of an open file description that fcntl(2) sees.

`described` reads it at capture, `finish` puts it on the file made at restore and hands that over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypedDict

from ...errors import RestoreError, UnsupportedResource
from ...linux import outside
from ...shapes import Fd, Flags, GivesFile, Names, NamesLivingOrNone, Range, Signal
from ...view.build import Stage
from .permission import Permission

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod

_F_SETOWN_EX, _F_GETOWN_EX = 15, 16
_F_SETSIG, _F_GETSIG = 10, 11
_OWNER = struct.Struct("ii")  # struct f_owner_ex
_F_GET_RW_HINT, _F_SET_RW_HINT = 1035, 1036
_HINT = struct.Struct("=Q")
_NAMELESS = ("socket:[", "pipe:[")
_SETTABLE = os.O_APPEND | os.O_NONBLOCK | os.O_DIRECT | os.O_NOATIME


@dataclass(frozen=True)
class Owner:
    """Who is told about I/O by a signal (fcntl F_SETOWN_EX, F_SETSIG)."""

    kind: Annotated[int, Range(0, 2)]
    """F_OWNER_TID 0, F_OWNER_PID 1 or F_OWNER_PGRP 2."""
    vid: Annotated[int, Names("process", "thread", "group", but=(0,))]
    """The thread, process or group, as the pod sees it; 0 where only `signal` was set."""
    signal: Signal
    """0 is the default: SIGIO without siginfo."""
    vpid: NamesLivingOrNone
    """A process that has the file, the owner if it has; 0 if none has."""
    number: Fd
    """By which it knows the file: signals tell it (si_fd), whoever gets them."""


@dataclass(frozen=True)
class Description:
    """An open file description; the States of file kinds begin with these fields."""

    file_id: GivesFile
    flags: Flags
    """O_* access mode and status flags, as in fdinfo, without O_CLOEXEC."""
    owner: Owner | None
    permission: Permission | None
    """Of a socket or a pipe without a name; None for what a room knows better."""
    hint: Annotated[int, Range(0, 5)] = field(default=0, kw_only=True)
    """How long what is written to its file lives (fcntl F_SET_RW_HINT), where it is ours to say."""


class Described(TypedDict):
    """The fields of Description, as keyword arguments."""

    file_id: int
    flags: int
    owner: Owner | None
    permission: Permission | None
    hint: int


def described(pod: FrozenPod, file: FrozenFile) -> Described:
    """The fields of Description for `file`.

    Raises UnsupportedResource where the owner of its signals is not in the pod.
    """
    flags = file.flags & ~os.O_CLOEXEC
    nameless = file.link.startswith(_NAMELESS) and not file.flags & os.O_PATH
    return {
        "file_id": file.id,
        "flags": flags,
        "owner": _owner(pod, file),
        "permission": Permission.of(file.stat) if nameless else None,
        "hint": _hint(file),
    }


@contextlib.contextmanager
def closed_on_failure(*fds: int) -> Iterator[None]:
    """These are ours until the block is through; when it fails they are closed."""
    try:
        yield
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise


def finish(build: Build, description: Description, fd: int) -> None:
    """Set the status flags on `fd`, a new description, and hand it over to the build."""
    with closed_on_failure(fd):
        set_status(description, fd)
        if description.hint:
            fcntl.fcntl(fd, _F_SET_RW_HINT, _HINT.pack(description.hint))
    build.provide(description.file_id, fd)
    if description.owner is not None:
        # The owner is a process of the new kernel, so it has to exist first.
        build.at(Stage.OWN, _set_owner, build, description)
    if description.permission is not None:
        # Only when nobody opens it once more: the mode may forbid that.
        build.at(Stage.OWN, _permit, build, description.file_id, description.permission)


def set_status(description: Description, fd: int) -> None:
    """The flags that fcntl(2) sets, on an open file of ours."""
    wanted = description.flags & _SETTABLE
    if wanted != fcntl.fcntl(fd, fcntl.F_GETFL) & _SETTABLE:
        fcntl.fcntl(fd, fcntl.F_SETFL, wanted)


def unsupported(
    file: FrozenFile,
    what: str,
    *,
    kind: type[UnsupportedResource] = UnsupportedResource,
    **fields: str,
) -> UnsupportedResource:
    """`cannot checkpoint process 7 (nginx), fd 12 is …` in the house form."""
    fields.setdefault("found", file.link)
    return kind(f"cannot checkpoint {file.holder} {what}", **fields)


@contextlib.contextmanager
def restoring(resource: str, stage: Stage, what: str, do: str | None = None) -> Iterator[None]:
    """Turn an OSError into the RestoreError of this room: `what` could not be had."""
    try:
        yield
    except OSError as error:
        raise RestoreError(
            f"cannot restore {what}",
            stage=stage.name,
            resource=resource,
            found=error.strerror or str(error),
            do=do,
        ) from error


@contextlib.contextmanager
def opened(path: str | bytes, flags: int) -> Iterator[int]:
    """An fd of ours on `path`, closed again at the end."""
    fd = outside.open_file(path, flags | os.O_NOCTTY)
    try:
        yield fd
    finally:
        os.close(fd)


def reopen(fd: int, flags: int) -> int:
    """A new description of the object behind `fd`, which lives in our process."""
    return os.open(f"/proc/self/fd/{fd}", (flags & ~os.O_CREAT) | os.O_CLOEXEC | os.O_NOCTTY)


def _hint(file: FrozenFile) -> int:
    """The kernel keeps it with the inode, while anybody has that open: only its owner may set it."""
    if file.flags & os.O_PATH or file.stat.st_uid != os.geteuid():
        return 0
    try:
        (hint,) = _HINT.unpack(fcntl.fcntl(file.local, _F_GET_RW_HINT, bytes(_HINT.size)))
    except OSError:  # a file, or a kernel, without
        return 0
    return int(hint)


def owner_of(file: FrozenFile) -> int:
    """Who is told of I/O, as this host numbers it; 0 for nobody."""
    return _owner_ex(file)[1]


def _owner_ex(file: FrozenFile) -> tuple[int, int]:
    """The kind, and the id. Those with O_PATH refuse every fcntl but the plainest."""
    if file.flags & os.O_PATH:
        return 0, 0
    kind, rid = _OWNER.unpack(fcntl.fcntl(file.local, _F_GETOWN_EX, bytes(_OWNER.size)))
    return kind, rid


def _owner(pod: FrozenPod, file: FrozenFile) -> Owner | None:
    if file.flags & os.O_PATH:
        return None
    kind, rid = _owner_ex(file)
    signal = fcntl.fcntl(file.local, _F_GETSIG)
    if not rid:
        if not (kind or signal or file.flags & os.O_ASYNC):
            return None
        return Owner(kind, 0, signal, *_known_as(file, 0))
    vid = pod.vpid(rid)
    if vid is None:
        raise unsupported(
            file,
            "sends its signals out of the pod",
            needed="an owner (fcntl F_SETOWN) that is in the pod",
            found=f"process or group {rid}, which is not",
        )
    return Owner(kind, vid, signal, *_known_as(file, vid))


def _known_as(file: FrozenFile, owner: int) -> tuple[int, int]:
    """The number by which O_ASYNC was set, the kernel tells in signals only: it is the first mostly."""
    holders = [(process.vpid, number) for process, number in file.holders]
    if not holders:
        return 0, 0
    vpid = owner if owner in dict(holders) else holders[0][0]
    return vpid, min(number for holder, number in holders if holder == vpid)


def _permit(build: Build, file_id: int, permission: Permission) -> None:
    with restoring("file", Stage.OWN, "the mode or the owner of a socket or pipe"):
        permission.give(build.file(file_id))


def _set_owner(build: Build, description: Description) -> None:
    fd, owner = build.file(description.file_id), description.owner
    assert owner is not None
    with restoring("file", Stage.OWN, "the owner of a file's signals"):
        give_owner(build, owner, fd)
        if not description.flags & os.O_ASYNC:
            return
        flags = fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC
        if owner.vpid:
            program = build.process(owner.vpid).program(Stage.OWN)
            program.call("fcntl", owner.number, fcntl.F_SETFL, flags)
        else:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def give_owner(build: Build, owner: Owner, fd: int) -> None:
    """To an open file of ours. Raises OSError."""
    if owner.signal:
        fcntl.fcntl(fd, _F_SETSIG, owner.signal)
    if owner.vid or owner.kind:
        rid = build.rpid(owner.vid) if owner.vid else 0
        fcntl.fcntl(fd, _F_SETOWN_EX, _OWNER.pack(owner.kind, rid))

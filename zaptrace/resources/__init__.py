"""The ordered list of rooms. Capture and every stage of restore go through it in this order."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import stat
from typing import Any

from ..errors import UnsupportedResource
from ..view.frozen import FrozenFile, FrozenPod
from . import (
    aio,
    autogroup,
    clock,
    cpu_level,
    cpu_time,
    credentials,
    dnotify,
    epoll,
    eventfd,
    fdtable,
    file_lease,
    file_lock,
    first_thread,
    inet_socket,
    inotify,
    itimer,
    job_control,
    keys,
    landlock,
    mapped_lock,
    memfd,
    memory,
    mqueue,
    namespace_file,
    netlink_socket,
    packet_socket,
    pidfd,
    pipe,
    posix_timer,
    process,
    raw_socket,
    regular_file,
    seccomp,
    signal,
    signalfd,
    stdio,
    sysv_ipc,
    thread,
    timerfd,
    tty,
    unix_socket,
)
from .common.socket import domain
from .room import FileKind, Room

FILE_KINDS: tuple[FileKind[Any], ...] = (
    stdio,
    tty,
    mqueue,
    regular_file,
    pipe,
    eventfd,
    timerfd,
    signalfd,
    pidfd,
    memfd,
    unix_socket,
    raw_socket,
    inet_socket,
    netlink_socket,
    packet_socket,
    namespace_file,
    inotify,
    epoll,
)
"""Rooms of open file descriptions; the first that claims one has it."""

ROOMS: tuple[Room[Any], ...] = (
    clock,
    cpu_level,
    aio,
    sysv_ipc,
    keys,
    landlock,
    process,
    job_control,
    autogroup,
    memory,
    mapped_lock,
    *FILE_KINDS,
    fdtable,
    file_lock,
    file_lease,
    dnotify,
    itimer,
    posix_timer,
    signal,
    cpu_time,
    seccomp,
    thread,
    credentials,
    first_thread,
)


def claim_files(pod: FrozenPod) -> None:
    """Give every open file description to its room. Raises UnsupportedResource for one without,
    and Unsettled for one that should be in another state soon."""
    file_lease.refuse(pod)
    claimed = _claim_all(pod, 0)
    with epoll.undisturbed(pod) if pod.kept.are_marked() else contextlib.nullcontext():
        unix_socket.know_kept(pod)
    claimed = _claim_all(pod, claimed)
    looked_at: set[int] = set()
    while unseen := unix_socket.Unseen(pod, looked_at):
        with epoll.undisturbed(pod):
            unseen.keep()
        unix_socket.know_kept(pod)
        claimed = _claim_all(pod, claimed)
    inet_socket.refuse_unaccepted(pod)
    regular_file.refuse_outside(pod)


def _claim_all(pod: FrozenPod, claimed: int) -> int:
    """All but the first so many, with those that they lead to; how many there are then."""
    for file in itertools.islice(pod.all_files, claimed, None):
        room = _room_of(file)
        pod.claim(room.NAME, file)
        if room is unix_socket:
            unix_socket.find_files_under_way(pod, file)
    return len(pod.all_files)


def _room_of(file: FrozenFile) -> FileKind[Any]:
    # O_PATH names a file, and tells nothing of what is open there.
    named: tuple[FileKind[Any], ...] = (regular_file, namespace_file)
    kinds = named if file.flags & os.O_PATH else FILE_KINDS
    for room in kinds:
        if room.claims(file):
            return room
    what = _what(file)
    raise UnsupportedResource(
        f"cannot checkpoint {file.holder} is {what}",
        needed=f"a room that can capture {what}; there is none",
        found=f"open flags {file.flags:#o}",
        do="have the program close it, or run it without that feature",
    )


def _what(file: FrozenFile) -> str:
    """The kernel's name for it tells of sockets a number only."""
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return file.link
    family = domain(file.local)
    with contextlib.suppress(ValueError):
        return f"a socket of {socket.AddressFamily(family).name}"
    return f"a socket of the address family {family}"

"""Raw sockets over IPv4 and IPv6, raw(7): protocol, addresses, options, filter, multicast memberships.

As root only, or with CAP_NET_RAW. Until the last step of a restore such a socket takes nothing in: what
a restore sends to itself is not for the pod. Not carried: what waits to be read, which nobody can put
back (a checkpoint waits until it is read, and is refused in the end), and what comes while the pod does
not run.

No C half: nothing of it is an id, and all of it can be asked for.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..linux import procfs
from ..shapes import U8, U16, Data, IpAddress, Length, OneOf, Word
from ..view.build import Stage
from .common.file import Description, described, finish, restoring, unsupported
from .common.multicast import Membership, memberships
from .common.multicast import join as join_group
from .common.options import RAW, Options
from .common.socket import (
    Filter,
    borrowed,
    domain,
    filter_of,
    options,
    set_filter,
    set_options,
)
from .common.unread import refuse_unread
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "raw_socket"

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_REMOTE, _QUEUES, _INODE = 2, 4, 9  # of a line in /proc/net/raw
_ANYWHERE = ("0.0.0.0", "::")
_SO_DETACH_FILTER = 27
_NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""A filter: return 0."""
_LOCK = "SO_LOCK_FILTER"


@dataclass(frozen=True)
class Place:
    host: IpAddress
    scope: Word = ""
    """The device of a link-local address; "" for none."""
    port: U16 = 0
    """Which connect(2) was given, and means nothing."""


@dataclass(frozen=True)
class State(Description):
    family: Annotated[int, OneOf(*map(int, _FAMILIES))]
    protocol: U8
    local: Place | None
    peer: Place | None
    options: Annotated[dict[Word, Data], Options(RAW)]
    filter: Filter
    memberships: Annotated[list[Membership], Length(0, 1 << 16)]


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    if domain(file.local) not in _FAMILIES:
        return False
    with borrowed(file.local) as sock:
        if sock.type != socket.SOCK_RAW:
            return False
    held = int(_row(file)[_QUEUES].split(":")[1], 16)
    refuse_unread(file, "raw", "packets", held, "/proc/net/raw")
    return True


def _row(file: FrozenFile) -> list[str]:
    """What /proc/net says of it."""
    for table in ("raw", "raw6"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            for line in procfs.read(f"/proc/net/{table}").splitlines()[1:]:
                row = line.split()
                if int(row[_INODE]) == file.stat.st_ino:
                    return row
    raise unsupported(file, "is a raw socket of another network namespace")


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        for place in filter(None, (state.local, state.peer)):
            if (":" in place.host) != (state.family == socket.AF_INET6):
                raise bad(f"a raw socket has an address of another family, {place.host}")
        size = 4 if state.family == socket.AF_INET else 16
        if any(len(a) != size for m in state.memberships for a in (m.group, *m.sources)):
            raise bad("a raw socket is in a group of another family")


def capture(pod: FrozenPod) -> list[State]:
    return [_capture(pod, file) for file in pod.files(NAME)]


def _capture(pod: FrozenPod, file: FrozenFile) -> State:
    with borrowed(file.local) as sock:
        host, _, device = str(sock.getsockname()[0]).partition("%")
        return State(
            **described(pod, file),
            family=sock.family,
            protocol=sock.proto,
            local=Place(host, device) if host not in _ANYWHERE else None,
            peer=_peer(_row(file)[_REMOTE], device),
            options=options(sock, RAW),
            filter=filter_of(file, sock),
            memberships=memberships(sock),
        )


def _peer(shown: str, device: str) -> Place | None:
    """getpeername(2) does not tell of one whose port is 0."""
    address, port = shown.split(":")
    words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
    raw = struct.pack(f"={len(words)}I", *words)
    if not any(raw):
        return None
    host = socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
    return Place(host, device, int(port, 16))


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _make, state, build)


def _make(state: State, build: Build) -> None:
    what = f"a raw socket of protocol {state.protocol}"
    with restoring(NAME, Stage.SHARED, what, "restore it as root, with CAP_NET_RAW"):
        sock = socket.socket(state.family, socket.SOCK_RAW, state.protocol)
        with contextlib.closing(sock):
            set_filter(sock, _NOTHING)
            set_options(sock, {k: v for k, v in state.options.items() if k != _LOCK}, RAW)
            if state.local:
                sock.bind(_address(state, state.local))
            if state.peer:
                sock.connect(_address(state, state.peer))
            if not build.rehearsal:  # of which others would hear
                for membership in state.memberships:
                    join_group(sock, membership)
            again = sock.dup()
            build.at(Stage.RESUME, build.last.append, partial(_listen, state, again))
            finish(build, state, os.dup(sock.fileno()))


def _address(state: State, place: Place) -> tuple[str | int, ...]:
    if state.family == socket.AF_INET:
        return (place.host, place.port)
    return (place.host, place.port, 0, socket.if_nametoindex(place.scope) if place.scope else 0)


def _listen(state: State, sock: socket.socket) -> None:
    """`sock` is ours, and closed once that is done."""
    if state.filter:
        set_filter(sock, state.filter)
    else:
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    if _LOCK in state.options:
        set_options(sock, {_LOCK: state.options[_LOCK]}, RAW)
    sock.close()

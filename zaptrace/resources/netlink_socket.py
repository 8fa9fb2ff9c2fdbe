"""Netlink sockets, netlink(7): protocol, address, peer, groups, options, filter.

Whoever listens to the kernel's news (udev, route and link changes) goes on listening after a move, to
the news of the host that it is on then. Not carried: messages that were not read yet, which nobody can
put back (a checkpoint waits until they are, and is refused in the end); news that come while the pod
does not run; a conversation half done (a dump). An address that is taken on the new host gets another
from the kernel.

No C half: addresses are the program's own, and its process's number only by habit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..linux import procfs
from ..shapes import U8, U32, Data, Length, OneOf, Range, Word
from ..view.build import Stage
from .common.file import Description, described, finish, restoring
from .common.options import GENERAL, Options, Table
from .common.socket import Filter, borrowed, domain, filter_of, options, set_filter, set_options
from .common.unread import refuse_unread
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "netlink_socket"

_NETLINK = 270  # SOL_NETLINK
_ADD_MEMBERSHIP, _LIST_MEMBERSHIPS = 1, 9
_MOST_GROUPS = 1 << 16
_GROUPS_OF_ADDRESS = 32

_OPTIONS: Table = {
    **GENERAL,
    "NETLINK_PKTINFO": (_NETLINK, 3, 4),
    "NETLINK_BROADCAST_ERROR": (_NETLINK, 4, 4),
    "NETLINK_NO_ENOBUFS": (_NETLINK, 5, 4),
    "NETLINK_LISTEN_ALL_NSID": (_NETLINK, 8, 4),
    "NETLINK_CAP_ACK": (_NETLINK, 10, 4),
    "NETLINK_EXT_ACK": (_NETLINK, 11, 4),
    "NETLINK_GET_STRICT_CHK": (_NETLINK, 12, 4),
}


@dataclass(frozen=True)
class State(Description):
    type: Annotated[int, OneOf(socket.SOCK_RAW, socket.SOCK_DGRAM)]
    protocol: U8
    port: U32
    """Its address (nl_pid); 0: it has none yet."""
    peer: Annotated[list[U32], Length(0, 2)]
    """Address and groups of whom it is connected to, or nothing."""
    groups: Annotated[list[Annotated[int, Range(1, _MOST_GROUPS)]], Length(0, _MOST_GROUPS)]
    options: Annotated[dict[Word, Data], Options(_OPTIONS)]
    filter: Filter


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    if domain(file.local) != socket.AF_NETLINK:
        return False
    held = _waiting().get(file.stat.st_ino, 0)
    refuse_unread(file, "netlink", "messages", held, "/proc/net/netlink")
    return True


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        if len(state.peer) == 1:
            raise bad("a netlink socket has half a peer", "its address, and its groups")


def capture(pod: FrozenPod) -> list[State]:
    return [_capture(pod, file) for file in pod.files(NAME)]


def _capture(pod: FrozenPod, file: FrozenFile) -> State:
    with borrowed(file.local) as sock:
        port, _ = sock.getsockname()
        peer = list(sock.getpeername())
        return State(
            **described(pod, file),
            type=sock.type,
            protocol=sock.proto,
            port=port,
            peer=peer if any(peer) else [],
            groups=_groups(sock),
            options=options(sock, _OPTIONS),
            filter=filter_of(file, sock),
        )


def _waiting() -> dict[int, int]:
    """Bytes that wait to be read, by the inode of the socket; of this network namespace."""
    rows = [line.split() for line in procfs.read("/proc/net/netlink").splitlines()[1:]]
    return {int(row[9]): int(row[4]) for row in rows}


def _groups(sock: socket.socket) -> list[int]:
    """Their numbers, from 1."""
    try:
        raw = sock.getsockopt(_NETLINK, _LIST_MEMBERSHIPS, _MOST_GROUPS // 8)
    except OSError:  # the groups of an address are all that this kernel tells
        bits = sock.getsockname()[1]
        return [bit + 1 for bit in range(_GROUPS_OF_ADDRESS) if bits >> bit & 1]
    bits = int.from_bytes(raw, "little")
    return [bit + 1 for bit in range(bits.bit_length()) if bits >> bit & 1]


# -- restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _make, state, build)


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, f"a netlink socket of protocol {state.protocol}"):
        sock = socket.socket(socket.AF_NETLINK, state.type, state.protocol)
        with contextlib.closing(sock):
            set_filter(sock, state.filter)
            set_options(sock, state.options, _OPTIONS)
            if state.port and not build.rehearsal:  # in which the original has it
                again = sock.dup()
                take = partial(_bind, state, again)
                build.or_when_free(
                    partial(take, build.contended), again.close, partial(take, False)
                )
            for group in state.groups:
                sock.setsockopt(_NETLINK, _ADD_MEMBERSHIP, group)
            if state.peer and not build.rehearsal:
                sock.connect((state.peer[0], state.peer[1]))
            finish(build, state, os.dup(sock.fileno()))


def _bind(state: State, sock: socket.socket, that_alone: bool) -> None:
    """`sock` is ours, and closed once that is done. Without `that_alone`, another address does."""
    groups = sum(1 << (group - 1) for group in state.groups if group <= _GROUPS_OF_ADDRESS)
    try:
        sock.bind((state.port, groups))
    except OSError as error:
        if error.errno != errno.EADDRINUSE or that_alone:
            raise
        sock.bind((0, groups))
    sock.close()

"""Packet sockets, packet(7): device and protocol, options, filter, memberships (promiscuous mode too).

As root only, or with CAP_NET_RAW. One is bound in the last step of a restore: what a restore sends to
itself is not for the pod.
Not carried, and refused: packets that were not read yet, which nobody can put back (a checkpoint waits
until they are read), rings (PACKET_RX_RING, PACKET_TX_RING), a fanout group, a filter of eBPF. Not
carried: what it has counted (PACKET_STATISTICS).

No C half: nothing of it is an id, and packet_diag tells what getsockopt(2) does not.
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

from ..errors import RestoreError
from ..linux import sock_diag
from ..shapes import U16, Data, Length, OneOf, Word
from ..view.build import Stage
from .common.file import Description, described, finish, restoring, unsupported
from .common.libc import checked, libc
from .common.options import GENERAL, Options, Table
from .common.socket import Filter, borrowed, domain, filter_of, options, set_filter, set_options
from .common.unread import refuse_unread

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "packet_socket"

_SOL_PACKET = 263
_ADD_MEMBERSHIP = 1
_REQUEST = struct.Struct("=BBHIIII")  # packet_diag_req
_MESSAGE = struct.Struct("=BBHIII")  # packet_diag_msg
_SHOW = 0x2 | 0x4 | 0x8 | 0x10  # MCLIST RING_CFG FANOUT MEMINFO
_MCLIST, _RX_RING, _TX_RING, _FANOUT, _MEMINFO = 1, 2, 3, 4, 6
_GROUP = struct.Struct("=IIHH32s")  # packet_diag_mclist
_MOST_ADDRESS = 32

_OPTIONS: Table = {
    **GENERAL,
    "PACKET_COPY_THRESH": (_SOL_PACKET, 7, 4),
    "PACKET_AUXDATA": (_SOL_PACKET, 8, 4),
    "PACKET_ORIGDEV": (_SOL_PACKET, 9, 4),
    "PACKET_VERSION": (_SOL_PACKET, 10, 4),
    "PACKET_RESERVE": (_SOL_PACKET, 12, 4),
    "PACKET_LOSS": (_SOL_PACKET, 14, 4),
    "PACKET_VNET_HDR": (_SOL_PACKET, 15, 4),
    "PACKET_TIMESTAMP": (_SOL_PACKET, 17, 4),
    "PACKET_TX_HAS_OFF": (_SOL_PACKET, 19, 4),
    "PACKET_QDISC_BYPASS": (_SOL_PACKET, 20, 4),
    "PACKET_IGNORE_OUTGOING": (_SOL_PACKET, 23, 4),
}


@dataclass(frozen=True)
class Joined:
    device: Word
    type: U16
    """PACKET_MR_PROMISC and its like."""
    address: Annotated[bytes, Length(0, _MOST_ADDRESS)]
    count: U16
    """How often."""


@dataclass(frozen=True)
class State(Description):
    type: Annotated[int, OneOf(socket.SOCK_RAW, socket.SOCK_DGRAM)]
    device: Word
    """ "" for all."""
    protocol: U16
    """Which packets it takes; 0: none."""
    options: Annotated[dict[Word, Data], Options(_OPTIONS)]
    filter: Filter
    joined: Annotated[list[Joined], Length(0, 1 << 12)]


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    if domain(file.local) != socket.AF_PACKET:
        return False
    (held,) = struct.unpack_from("=I", _diag(file)[_MEMINFO])
    refuse_unread(file, "packet", "packets", held, "packet_diag")
    return True


def _diag(file: FrozenFile) -> dict[int, bytes]:
    request = _REQUEST.pack(socket.AF_PACKET, 0, 0, 0, _SHOW, 0, 0)
    with contextlib.suppress(OSError):
        for body in sock_diag.ask(request, dump=True):
            if _MESSAGE.unpack_from(body)[3] == file.stat.st_ino:
                return sock_diag.attributes(body[_MESSAGE.size :])
    raise unsupported(
        file,
        "is a packet socket, of which this kernel does not tell",
        needed="CONFIG_PACKET_DIAG, or the module packet_diag, and our network namespace",
        do="as root: modprobe packet_diag",
    )


def capture(pod: FrozenPod) -> list[State]:
    return [_capture(pod, file) for file in pod.files(NAME)]


def _capture(pod: FrozenPod, file: FrozenFile) -> State:
    told = _diag(file)
    for attribute, what in (_RX_RING, "a ring"), (_TX_RING, "a ring"), (_FANOUT, "a fanout group"):
        if attribute in told:
            raise unsupported(
                file,
                f"is a packet socket with {what}",
                needed="one that is read by recvmsg(2), alone",
                do="run the program without that",
            )
    with borrowed(file.local) as sock:
        device, protocol, *_ = sock.getsockname()
        return State(
            **described(pod, file),
            type=sock.type,
            device=device,
            protocol=protocol,
            options=options(sock, _OPTIONS),
            filter=filter_of(file, sock),
            joined=[_joined(*one) for one in _GROUP.iter_unpack(told.get(_MCLIST, b""))],
        )


def _joined(index: int, count: int, kind: int, size: int, address: bytes) -> Joined:
    return Joined(socket.if_indextoname(index), kind, address[:size], count)


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.CLAIM, _claim, state)
        build.at(Stage.SHARED, _make, state, build)


def _claim(state: State) -> None:
    here = {name for _, name in socket.if_nameindex()}
    for name in filter(None, (state.device, *(one.device for one in state.joined))):
        if name not in here:
            raise RestoreError(
                f"cannot restore a packet socket of the device {name}",
                stage=Stage.CLAIM.name,
                resource=NAME,
                needed=f"a network device called {name}",
                found=f"{', '.join(sorted(here))}",
                do="give the device its name, or restore where there is one",
                changed="nothing",
            )


def _make(state: State, build: Build) -> None:
    what = "a packet socket"
    with restoring(NAME, Stage.SHARED, what, "restore it as root, with CAP_NET_RAW"):
        sock = socket.socket(socket.AF_PACKET, state.type, 0)
        with contextlib.closing(sock):
            set_filter(sock, state.filter)
            set_options(sock, state.options, _OPTIONS)
            if not build.rehearsal:  # of which others would hear
                for one in state.joined:
                    _join(sock, one)
            again = sock.dup()
            build.at(Stage.RESUME, build.last.append, partial(_bind, state, again))
            finish(build, state, os.dup(sock.fileno()))


def _join(sock: socket.socket, one: Joined) -> None:
    index = socket.if_nametoindex(one.device)
    request = struct.pack("=iHH", index, one.type, len(one.address)) + one.address.ljust(8, b"\0")
    for _ in range(one.count):
        sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)


def _bind(state: State, sock: socket.socket) -> None:
    """`sock` is ours, and closed once that is done."""
    index = socket.if_nametoindex(state.device) if state.device else 0
    if index or state.protocol:
        protocol = socket.htons(state.protocol)
        address = struct.pack("=HHiHBB8s", socket.AF_PACKET, protocol, index, 0, 0, 0, b"")
        checked(libc.bind(sock.fileno(), address, len(address)))
    sock.close()

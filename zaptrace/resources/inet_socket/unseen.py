"""Options that getsockopt(2) does not show: as the lower half noted them when they were set."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ...linux.native import lib
from ...shapes import I32, Length
from ..common.file import unsupported
from .virtual import ADDRESSES, CHOSEN, notes_of

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile

ROOM = "inet_socket"

_KEY = struct.Struct("=QII")  # of csrc/resources/inet_socket.c
_MULTICAST_IF = (socket.IPPROTO_IP, 32)
REUSEPORT_FILTER = (socket.SOL_SOCKET, 51)
_INSTRUCTION = 8  # struct sock_filter
_CANNOT = {
    (socket.SOL_SOCKET, 52): "shares out connections by a program of eBPF",
    (socket.IPPROTO_TCP, 14): "has keys to sign what it sends (TCP_MD5SIG)",
    (socket.IPPROTO_TCP, 32): "has keys to sign what it sends (TCP_MD5SIG_EXT)",
    (socket.IPPROTO_TCP, 38): "has keys to sign what it sends (TCP_AO_ADD_KEY)",
}


@dataclass(frozen=True)
class Unseen:
    level: I32
    option: I32
    value: Annotated[bytes, Length(0, 1 << 16)]


def unseen(file: FrozenFile) -> list[Unseen]:
    found = []
    for (level, option), value in notes_of(file).items():
        if (level, option) in (ADDRESSES, CHOSEN):
            continue
        if (level, option) in _CANNOT:
            raise unsupported(file, _CANNOT[level, option], do="run it without that option")
        found.append(Unseen(level, option, value))
    return found


def set_unseen(sock: socket.socket, options: list[Unseen], *, bound: bool) -> None:
    """Those that are set before, or after, it is bound."""
    for one in options:
        if (one.level, one.option) == REUSEPORT_FILTER and bound:
            code = ctypes.create_string_buffer(one.value, len(one.value))
            length = len(one.value) // _INSTRUCTION
            program = struct.pack("HxxxxxxP", length, ctypes.addressof(code))
            sock.setsockopt(one.level, one.option, program)
        elif (one.level, one.option) == _MULTICAST_IF and not bound:
            sock.setsockopt(one.level, one.option, one.value)


def note_again(build: Build, fd: int, options: list[Unseen]) -> None:
    """As the lower half notes them at the call."""
    store, room = lib.zt_pod_store(build.handle), ROOM.encode()
    for one in options:
        key = _KEY.pack(os.fstat(fd).st_ino, one.level, one.option)
        if lib.zt_store_put(store, room, key, len(key), one.value, len(one.value)):
            raise MemoryError


def forget_all(build: Build) -> None:
    """What was noted of the sockets of the pod's former self."""
    store, room = lib.zt_pod_store(build.handle), ROOM.encode()
    for key in build.store(ROOM):
        lib.zt_store_remove(store, room, key, len(key))

"""Addresses that a connection tells the pod, where it has other ones on this host.

A connection with both ends in the pod needs a pair of addresses of this host, and any will do. Where
those that it had are not to be had (a port is another's, an address is another host's), it is made
with others, and the lower half tells the pod the ones that it knows (csrc/resources/inet_socket.c).

Who listens where somebody else does by now listens at another port, and is found there by the pod, as
who connects to the port that it knows is led there. It is noted with no other side.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...linux.native import lib
from .address import Address

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod

ROOM = "inet_socket"

_KEY = struct.Struct("=QII")  # of csrc/resources/inet_socket.c
ADDRESSES = (0xFFFF_FFFF, 0)
"""Where an option has its level and number."""
CHOSEN = (0xFFFF_FFFF, 1)
"""The same, of a port that bind(2) was not given."""
_SIZE = 28  # sizeof (struct sockaddr_in6)

Pair = tuple[Address, Address]
"""Of one end of a connection: its own address, and that of the other side."""


class Notes:
    """What the lower half has noted of sockets, by their inodes."""

    def __init__(self, pod: FrozenPod) -> None:
        self.of: dict[int, dict[tuple[int, int], bytes]] = defaultdict(dict)
        for key, value in pod.store(ROOM).items():
            inode, level, option = _KEY.unpack(key)
            self.of[inode][level, option] = value

    @classmethod
    def of_pod(cls, pod: FrozenPod) -> Notes:
        notes = pod.worked_out.get(cls)
        if not isinstance(notes, cls):
            notes = pod.worked_out[cls] = cls(pod)
        return notes


def is_note(key: bytes, value: bytes) -> bool:
    if len(key) != _KEY.size:
        return False
    _inode, level, option = _KEY.unpack(key)
    if (level, option) == CHOSEN:
        return not value
    if (level, option) != ADDRESSES:
        return True
    families = {value[at : at + 2] for at in range(0, len(value), _SIZE)}
    known = {struct.pack("=H", family) for family in (socket.AF_INET, socket.AF_INET6)}
    return len(value) == 4 * _SIZE and families <= known


def notes_of(file: FrozenFile) -> dict[tuple[int, int], bytes]:
    """By (level, option)."""
    return Notes.of_pod(file.pod).of.get(file.stat.st_ino, {})


def told(file: FrozenFile, own: Address, other: Address | None) -> tuple[Address, Address | None]:
    """What the pod is told of a connection that has these; one that has ended has no other side."""
    value = notes_of(file).get(ADDRESSES, b"")
    if not value:
        return _known(file, own), other and _known(file, other)
    real, shown, real_other, shown_other = _parts(value)
    return (
        shown if own.key == real.key else own,
        shown_other if other and other.key == real_other.key else other,
    )


def _known(file: FrozenFile, address: Address) -> Address:
    """As it is called that somebody of the pod listens there."""
    for notes in Notes.of_pod(file.pod).of.values():
        if value := notes.get(ADDRESSES):
            real, shown, other, _ = _parts(value)
            here = real.is_any or real.key == address.key
            if not other.port and real.port == address.port and here:
                return replace(address, port=shown.port)
    return address


def _parts(value: bytes) -> Iterator[Address]:
    return (_unpack(value[at : at + _SIZE]) for at in range(0, len(value), _SIZE))


def tell_of_listener(build: Build, fd: int, family: int, real: Address, shown: Address) -> None:
    """From now on who listens is found, and tells that it listens, at `shown`."""
    nobody = Address("0.0.0.0" if family == socket.AF_INET else "::", 0, 0, 0)
    tell(build, fd, family, (real, nobody), (shown, nobody))


def tell(build: Build, fd: int, family: int, real: Pair, shown: Pair) -> None:
    """From now on the pod is told `shown`."""
    value = b"".join(
        _pack(each, family) for each in (real[0], shown[0].of(family), real[1], shown[1].of(family))
    )
    _note(build, fd, ADDRESSES, value)


def was_chosen(file: FrozenFile) -> bool:
    return CHOSEN in notes_of(file)


def note_chosen(build: Build, fd: int) -> None:
    """As the lower half notes it at bind(2)."""
    _note(build, fd, CHOSEN, b"")


def _note(build: Build, fd: int, about: tuple[int, int], value: bytes) -> None:
    key, room = _KEY.pack(os.fstat(fd).st_ino, *about), ROOM.encode()
    if lib.zt_store_put(lib.zt_pod_store(build.handle), room, key, len(key), value, len(value)):
        raise MemoryError


def _pack(address: Address, family: int) -> bytes:
    head = struct.pack("=H", family) + struct.pack(">H", address.port)
    host = socket.inet_pton(family, address.host.partition("%")[0])
    if family == socket.AF_INET:
        return (head + host).ljust(_SIZE, b"\0")
    return head + struct.pack(">I", address.flow) + host + struct.pack("=I", address.scope)


def _unpack(raw: bytes) -> Address:
    (family,) = struct.unpack_from("=H", raw)
    (port,) = struct.unpack_from(">H", raw, 2)
    if family == socket.AF_INET:
        return Address(socket.inet_ntop(family, raw[4:8]), port, 0, 0)
    (flow,) = struct.unpack_from(">I", raw, 4)
    (scope,) = struct.unpack_from("=I", raw, 24)
    return Address(socket.inet_ntop(family, raw[8:24]), port, flow, scope)

"""Which multicast groups a socket is in, and from whom it wants to hear there.

No call lists the groups of a socket. But /proc/net/igmp and igmp6 list those of the host, and
MCAST_MSFILTER, which gives the sources of one, fails for a group that the socket is not in.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ...log import log
from ...shapes import Length, Word
from .libc import libc

_JOIN_GROUP, _JOIN_SOURCE_GROUP, _MSFILTER = 42, 46, 48
_INCLUDE, _EXCLUDE = 1, 0
_STORAGE = 128  # sizeof (struct sockaddr_storage)
_HEAD = 8 + _STORAGE + 8  # struct group_filter before its sources
_MOST_SOURCES = 256


@dataclass(frozen=True)
class Membership:
    group: Annotated[bytes, Length(4, 16)]
    """As in_addr or in6_addr."""
    device: Word
    exclude: bool
    """Everybody but `sources` is heard, or nobody else."""
    sources: Annotated[list[Annotated[bytes, Length(4, 16)]], Length(0, _MOST_SOURCES)]


def memberships(sock: socket.socket) -> list[Membership]:
    return [
        found
        for device, group in _groups(sock.family)
        if (found := _membership(sock, device, group)) is not None
    ]


def join(sock: socket.socket, membership: Membership) -> None:
    """Be in the group again; where the device has another name here, on the one that the kernel takes."""
    level = _level(sock.family)
    try:
        index = socket.if_nametoindex(membership.device)
    except OSError:
        log.warning("there is no %s here: the kernel says where a group is", membership.device)
        index = 0
    group = struct.pack("=I4x", index) + _sockaddr(sock.family, membership.group)
    sources = [_sockaddr(sock.family, source) for source in membership.sources]
    if not membership.exclude:
        for source in sources:
            sock.setsockopt(level, _JOIN_SOURCE_GROUP, group + source)
        return
    sock.setsockopt(level, _JOIN_GROUP, group)
    if sources:
        head = group + struct.pack("=II", _EXCLUDE, len(sources))
        sock.setsockopt(level, _MSFILTER, head + b"".join(sources))


def _level(family: int) -> int:
    return socket.IPPROTO_IP if family == socket.AF_INET else socket.IPPROTO_IPV6


def _sockaddr(family: int, address: bytes) -> bytes:
    before = 4 if family == socket.AF_INET else 8  # port, flow
    raw = struct.pack("=H", family) + bytes(before - 2) + address
    return raw.ljust(_STORAGE, b"\0")


def _groups(family: int) -> Iterator[tuple[str, bytes]]:
    """(device, group) of all that this host is in."""
    if family == socket.AF_INET:
        device = ""
        for line in Path("/proc/net/igmp").read_text().splitlines()[1:]:
            words = line.split()
            if not line.startswith("\t"):
                device = words[1]
            else:  # printed as a number of this machine
                yield device, struct.pack("=I", int(words[0], 16))
    else:
        for line in Path("/proc/net/igmp6").read_text().splitlines():
            _index, device, group, *_ = line.split()
            yield device, bytes.fromhex(group)


def _membership(sock: socket.socket, device: str, group: bytes) -> Membership | None:
    head = struct.pack("=I4x", socket.if_nametoindex(device)) + _sockaddr(sock.family, group)
    head += struct.pack("=II", 0, _MOST_SOURCES)
    asked = ctypes.create_string_buffer(head, _HEAD + _MOST_SOURCES * _STORAGE)
    size = ctypes.c_uint(len(asked))
    level = _level(sock.family)
    if libc.getsockopt(sock.fileno(), level, _MSFILTER, asked, ctypes.byref(size)) != 0:
        return None
    mode, count = struct.unpack_from("=II", asked.raw, _HEAD - 8)
    begin, end = (4, 8) if sock.family == socket.AF_INET else (8, 24)
    sources = [
        asked.raw[_HEAD + n * _STORAGE :][begin:end] for n in range(min(count, _MOST_SOURCES))
    ]
    return Membership(group, device, mode == _EXCLUDE, sources)

"""What sock_diag(7) tells of every socket of this host's network namespace, by inode."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_ALL = 0xFFFFFFFF

_UNIX_NAME, _UNIX_VFS, _UNIX_PEER, _UNIX_ICONS, _UNIX_RQLEN = 0, 1, 2, 3, 4
_UNIX_ATTRIBUTES = {_UNIX_NAME: "bound", 6: "shutdown", 7: "uid"}
_UNIX_SHOW_ALL = 0x3F | 0x40
_INET_IGNORED = {
    1: "MEMINFO: allocations",
    2: "INFO: counts on",
    3: "VEGASINFO: counts on",
    7: "SKMEMINFO: allocations",
    16: "BBRINFO: counts on",
    21: "CGROUP_ID: of the host",
}
_INET_ASKED = 0xFFFF
_PROTOCOLS = (
    socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_UDPLITE, socket.IPPROTO_ICMP,
)  # fmt: skip


def dump() -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in _PROTOCOLS:
            request = struct.pack("=BBBxI48x", family, protocol, _INET_ASKED & 0xFF, _ALL)
            for message in _ask(request):
                inode, seen = _inet(message)
                found[inode] = seen
    for message in _ask(
        struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _ALL, 0, _UNIX_SHOW_ALL, 0, 0)
    ):
        inode, seen = _unix(message)
        found[inode] = seen
    return found


def _ask(request: bytes) -> Iterator[bytes]:
    """The answers of a dump; none where the kernel has no such protocol."""
    with contextlib.closing(
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    ) as s:
        size = 16 + len(request)
        head = struct.pack("=IHHII", size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
        s.send(head + request)
        while True:
            data = s.recv(1 << 18)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return
                yield data[16:length]
                data = data[-(-length // 4) * 4 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[-(-length // 4) * 4 :]


def _unix(message: bytes) -> tuple[int, dict[str, Any]]:
    _family, kind, state, inode = struct.unpack_from("=BBBxI", message)
    seen: dict[str, Any] = {"type": kind, "state": state}
    for number, value in _attributes(message[16:]):
        if number == _UNIX_PEER:
            seen["peer"] = struct.unpack("=I", value)[0]
        elif number == _UNIX_ICONS:
            seen["waiting"] = len(value) // 4
        elif number == _UNIX_RQLEN:
            received, sent = struct.unpack("=II", value)
            seen |= {"received": received, "unread by the peer": bool(sent)}
        elif number in _UNIX_ATTRIBUTES:
            seen[_UNIX_ATTRIBUTES[number]] = value.hex()
        elif number not in (_UNIX_VFS, 5):
            seen[f"attribute {number}"] = value.hex()
    return inode, seen


def _inet(message: bytes) -> tuple[int, dict[str, Any]]:
    family, state, timer, retransmits = struct.unpack_from("=BBBB", message)
    local, remote = struct.unpack_from(">HH", message, 4)
    addresses = message[8:40].hex()
    device, _cookie = struct.unpack_from("=I8s", message, 40)
    _expires, received, sent, uid, inode = struct.unpack_from("=IIIII", message, 52)
    seen: dict[str, Any] = {
        "family": family, "state": state, "timer": timer, "retransmits": retransmits,
        "ports": (local, remote), "addresses": addresses, "device": device, "queue": received,
        "sent": sent, "uid": uid,
    }  # fmt: skip
    for number, value in _attributes(message[72:]):
        if number not in _INET_IGNORED:
            seen[f"attribute {number}"] = value.hex()
    return inode, seen

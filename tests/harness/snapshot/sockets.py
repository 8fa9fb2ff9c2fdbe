"""Sockets: every option of every level that getsockopt answers, addresses, and what sock_diag tells.

Options are asked for by number, not by name, so that the next kernel's new ones are seen too.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
from typing import Any

from harness.snapshot.look import Look

LEVELS = {
    "SOL_SOCKET": 1, "IP": 0, "TCP": 6, "UDP": 17, "IPV6": 41, "ICMPV6": 58, "SCTP": 132,
    "UDPLITE": 136, "RAW": 255, "PACKET": 263, "NETLINK": 270, "ALG": 279, "TLS": 282, "XDP": 283,
    "MPTCP": 284, "VSOCK": 40,
}  # fmt: skip
OPTIONS = 256
"""The highest number that is asked for, of each level."""

IGNORED = {
    ("SOL_SOCKET", 4): "SO_ERROR: to ask takes it away",
    ("SOL_SOCKET", 49): "SO_INCOMING_CPU: where the last packet came in, on this host",
    ("SOL_SOCKET", 55): "SO_MEMINFO: allocations of this kernel",
    ("SOL_SOCKET", 56): "SO_INCOMING_NAPI_ID: of this host's hardware",
    ("SOL_SOCKET", 57): "SO_COOKIE: a number of the host's",
    ("SOL_SOCKET", 71): "SO_NETNS_COOKIE: a number of the host's",
    ("SOL_SOCKET", 77): "SO_PEERPIDFD: to ask makes a descriptor",
    ("TCP", 11): "TCP_INFO: counts on; the state is in diag",
    ("TCP", 24): "TCP_TIMESTAMP: a clock",
    ("TCP", 26): "TCP_CC_INFO: counts on",
    ("MPTCP", 1): "MPTCP_INFO: counts on",
    ("MPTCP", 4): "MPTCP_FULL_INFO: the same",
    ("TCP", 28): "TCP_SAVED_SYN: to ask takes it away",
    ("TCP", 35): "TCP_ZEROCOPY_RECEIVE: to ask maps data",
}
OF_THE_KERNEL = {
    "IP 52": "IP_PROTOCOL: its port on this host",
    "IP 14": "IP_MTU: as long as a route is remembered",
    "IPV6 24": "IPV6_MTU: the same",
    "IPV6 61": "IPV6_PATHMTU: the same",
    "IP 33": "IP_MULTICAST_TTL: nobody can set it of TCP",
    "IPV6 1": "IPV6_ADDRFORM: while it is established",
    "IPV6 17": "IPV6_MULTICAST_IF: the same",
    "IPV6 18": "IPV6_MULTICAST_HOPS: the same",
    "TCP 2": "TCP_MAXSEG: of a connection, as large as its window makes it",
    "TCP 10": "TCP_WINDOW_CLAMP: grows with what comes",
    "TCP 12": "TCP_QUICKACK: as the traffic is",
    "SOL_SOCKET 18": "SO_RCVLOWAT: 0 where MPTCP took it on, which is 1 and which nobody can set",
}
"""Options of a TCP connection that the kernel has its own way with."""
_BUFFERS = {"SOL_SOCKET 7": 1, "SOL_SOCKET 8": 2}
"""Their sizes are the kernel's, unless their bit in SO_BUF_LOCK says that they are fixed."""
_BUF_LOCK = "SOL_SOCKET 72"
_PEERCRED = ("SOL_SOCKET", 17)
_libc = ctypes.CDLL(None, use_errno=True)


def read(look: Look, local: int, inode: int) -> dict[str, Any]:
    sock = socket.socket(fileno=local)
    try:
        options = _options(look, local)
        if _is_connection(sock):
            # Its addresses are not this host's, maybe, and what was sent is here or there: programs
            # look at these themselves.
            _drop_the_kernels(options)
            return {"options": options}
        told = look.socket(inode)
        peer = told.pop("peer", None)
        return {
            "options": options,
            "name": _address(sock.getsockname),
            "peer": _address(sock.getpeername),
            "diag": {**told, "peer": look.known("socket", peer) if peer else None},
        }
    finally:
        sock.detach()


def _is_connection(sock: socket.socket) -> bool:
    """Is it a TCP connection, whatever was shut down of it, or was it one?"""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return False
    closed, listens = 7, 10
    state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    if state != closed:
        return state != listens
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0)[0][1] & select.POLLRDHUP)


def _drop_the_kernels(options: dict[str, str]) -> None:
    locked = int(options.get(_BUF_LOCK, "00")[:2], 16)
    own = [name for name, bit in _BUFFERS.items() if not locked & bit]
    for name in (*own, *OF_THE_KERNEL):
        options.pop(name, None)


def _options(look: Look, local: int) -> dict[str, str]:
    found: dict[str, str] = {}
    buffer = ctypes.create_string_buffer(1024)
    for level, number in LEVELS.items():
        for option in range(OPTIONS):
            if (level, option) in IGNORED:
                continue
            size = ctypes.c_uint(len(buffer))
            if _libc.getsockopt(local, number, option, buffer, ctypes.byref(size)) == 0:
                value = buffer.raw[: size.value]
                found[f"{level} {option}"] = _shown(look, (level, option), value)
    return found


def _shown(look: Look, option: tuple[str, int], value: bytes) -> str:
    if option == _PEERCRED:
        pid, uid, gid = struct.unpack("=iii", value)
        return f"pid {look.id(pid)} uid {uid} gid {gid}"
    return value.hex()


def _address(ask: Any) -> str:
    try:
        return repr(ask())
    except OSError as error:
        return os.strerror(error.errno or 0)

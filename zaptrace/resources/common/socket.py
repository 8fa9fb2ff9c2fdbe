"""What the socket rooms share: options that are compared with a fresh socket's, and queues."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import os
import socket
import termios
from collections.abc import Iterator

from .libc import libc

Table = dict[str, tuple[int, int, int]]
"""Option name -> (level, option, bytes)."""

_SOL = socket.SOL_SOCKET
_SO_GET_FILTER = 26
_SO_BUF_LOCK = 72
GENERAL: Table = {
    "SO_REUSEADDR": (_SOL, 2, 4),
    "SO_DONTROUTE": (_SOL, 5, 4),
    "SO_BROADCAST": (_SOL, 6, 4),
    "SO_KEEPALIVE": (_SOL, 9, 4),
    "SO_OOBINLINE": (_SOL, 10, 4),
    "SO_NO_CHECK": (_SOL, 11, 4),
    "SO_PRIORITY": (_SOL, 12, 4),
    "SO_LINGER": (_SOL, 13, 8),
    "SO_REUSEPORT": (_SOL, 15, 4),
    "SO_PASSCRED": (_SOL, 16, 4),
    "SO_RCVLOWAT": (_SOL, 18, 4),
    "SO_RCVTIMEO": (_SOL, 20, 16),
    "SO_SNDTIMEO": (_SOL, 21, 16),
    "SO_BINDTODEVICE": (_SOL, 25, 16),
    "SO_TIMESTAMP": (_SOL, 29, 4),
    "SO_PASSSEC": (_SOL, 34, 4),
    "SO_TIMESTAMPNS": (_SOL, 35, 4),
    "SO_MARK": (_SOL, 36, 4),
    "SO_TIMESTAMPING": (_SOL, 37, 8),
    "SO_RXQ_OVFL": (_SOL, 40, 4),
    "SO_PEEK_OFF": (_SOL, 42, 4),
    "SO_BUSY_POLL": (_SOL, 46, 4),
    "SO_WIFI_STATUS": (_SOL, 41, 4),
    "SO_NOFCS": (_SOL, 43, 4),
    "SO_MAX_PACING_RATE": (_SOL, 47, 8),
    "SO_ZEROCOPY": (_SOL, 60, 4),
    "SO_PREFER_BUSY_POLL": (_SOL, 69, 4),
    "SO_TXREHASH": (_SOL, 74, 4),
    "SO_RCVMARK": (_SOL, 75, 4),
    "SO_PASSPIDFD": (_SOL, 76, 4),
    "SO_SNDBUF": (_SOL, socket.SO_SNDBUF, 4),
    "SO_RCVBUF": (_SOL, socket.SO_RCVBUF, 4),
}
_DOUBLED = ("SO_SNDBUF", "SO_RCVBUF")
"""The kernel doubles what is set (socket(7)), so half of what it shows gives it back."""


@contextlib.contextmanager
def borrowed(fd: int) -> Iterator[socket.socket]:
    """`fd` as a socket object that does not close it."""
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def domain(fd: int) -> int:
    """AF_* of the socket `fd`."""
    with borrowed(fd) as sock:
        return sock.getsockopt(_SOL, socket.SO_DOMAIN)


def options(sock: socket.socket, table: Table) -> dict[str, bytes]:
    """The options in `table` whose value is not what a fresh socket of this kind has."""
    with socket.socket(sock.family, sock.type, sock.proto) as fresh:
        found = {}
        for name, (level, option, size) in table.items():
            try:
                value = sock.getsockopt(level, option, size)
                usual = fresh.getsockopt(level, option, size)
            except OSError:  # this kind of socket, or this kernel, does not have it
                continue
            if value != usual:
                found[name] = value
        return found


def set_options(sock: socket.socket, values: dict[str, bytes], table: Table) -> None:
    """Set what `options` found. Raises OSError for one that is not allowed here."""
    for name, value in values.items():
        level, option, _ = table[name]
        if name in _DOUBLED:
            sock.setsockopt(level, option, int.from_bytes(value, "little") // 2)
        else:
            sock.setsockopt(level, option, value)


def usual_room(sock: socket.socket) -> None:
    """A send buffer of the size that the kernel gives, and may change: not one that we have set."""
    with socket.socket(sock.family, sock.type, sock.proto) as fresh:
        usual = fresh.getsockopt(_SOL, socket.SO_SNDBUF)
    if sock.getsockopt(_SOL, socket.SO_SNDBUF) != usual:
        sock.setsockopt(_SOL, socket.SO_SNDBUF, usual // 2)
        with contextlib.suppress(OSError):  # since Linux 5.14; before, nobody can tell either
            sock.setsockopt(_SOL, _SO_BUF_LOCK, 0)


def has_filter(sock: socket.socket) -> bool:
    """True if a BPF program is attached (SO_ATTACH_FILTER)."""
    length = ctypes.c_uint(0)
    result = libc.getsockopt(sock.fileno(), _SOL, _SO_GET_FILTER, None, ctypes.byref(length))
    return result != 0 or length.value != 0


def queued(fd: int) -> int:
    """Bytes that wait to be read (SIOCINQ); of datagrams only the first counts."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def name_bytes(address: str | bytes | None) -> bytes:
    """A unix socket's address as bytes: a path, b"\\0..." if abstract, b"" if it has none."""
    return os.fsencode(address or b"")

"""What the socket rooms share: options (the tables are in options.py), filters, queues."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ...shapes import Length, Multiple
from .file import unsupported
from .libc import checked, libc
from .options import DOUBLED, OF_ITSELF, Table

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile

_SOL = socket.SOL_SOCKET
_SO_ATTACH_FILTER = _SO_GET_FILTER = 26
_SO_BUF_LOCK = 72
_INSTRUCTION = 8  # struct sock_filter
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS

Filter = Annotated[bytes, Length(0, _INSTRUCTION * _MOST_INSTRUCTIONS), Multiple(_INSTRUCTION)]
UnixName = Annotated[bytes, Length(0, 108)]
"""Of sun_path: a path, or b"\\0..." if abstract, b"" if there is none."""


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


Usual = dict[tuple[int, int, int], dict[str, bytes]]
"""The options that a fresh socket has, by its family, type and protocol."""


def options(sock: socket.socket, table: Table, usual: Usual | None = None) -> dict[str, bytes]:
    """The options in `table` whose value is not what a fresh socket of this kind has.

    `usual` remembers that for those who ask of many sockets, each with the same table.
    """
    usual = {} if usual is None else usual
    kind = (sock.family, sock.type, sock.proto)
    if kind not in usual:
        with socket.socket(*kind) as fresh:
            usual[kind] = {name: value for name, value in _read_all(fresh, table)}
    fresh_ones = usual[kind]
    return {
        name: value
        for name, value in _read_all(sock, {name: table[name] for name in fresh_ones})
        if value != fresh_ones[name]
    }


def _read_all(sock: socket.socket, table: Table) -> Iterator[tuple[str, bytes]]:
    for name, (level, option, size) in table.items():
        # This kind of socket, or this kernel, does not have each of them.
        with contextlib.suppress(OSError):
            yield name, sock.getsockopt(level, option, size)


def set_options(sock: socket.socket, values: dict[str, bytes], table: Table) -> None:
    """Set what `options` found. Raises OSError, with its name, for one that is not allowed here."""
    for name, value in values.items():
        level, option, _ = table[name]
        try:
            if name in DOUBLED:
                sock.setsockopt(level, option, int.from_bytes(value, "little") // 2)
            else:
                sock.setsockopt(level, option, value)
        except OSError as error:
            lacks = error.errno == errno.ENOPROTOOPT
            if not lacks or int.from_bytes(value, "little") not in OF_ITSELF.get(name, ()):
                raise OSError(error.errno, f"{name}: {error.strerror}") from error
    if "SO_BUF_LOCK" not in values and any(name in values for name in DOUBLED):
        # To set a size is to keep the kernel from changing it, which here it had done itself.
        with contextlib.suppress(OSError):  # before Linux 5.14 nobody can tell
            sock.setsockopt(_SOL, _SO_BUF_LOCK, 0)


def get_filter(sock: socket.socket) -> bytes:
    """The instructions of the classic BPF program that is attached (SO_ATTACH_FILTER), or b"".

    Raises PermissionError for a program of eBPF.
    """
    length = ctypes.c_uint(0)
    ask = partial(libc.getsockopt, sock.fileno(), _SOL, _SO_GET_FILTER)
    checked(ask(None, ctypes.byref(length)))
    program = ctypes.create_string_buffer(length.value * _INSTRUCTION)
    if length.value:
        checked(ask(program, ctypes.byref(length)))
    return program.raw


def filter_of(file: FrozenFile, sock: socket.socket) -> bytes:
    """The same of a file of the pod. Raises UnsupportedResource for a program of eBPF."""
    try:
        return get_filter(sock)
    except PermissionError:
        raise unsupported(
            file,
            "is a socket with a filter of eBPF, which the kernel does not show",
            do="use a classic filter (SO_ATTACH_FILTER), or run it without",
        ) from None


def set_filter(sock: socket.socket, program: bytes) -> None:
    """Attach what `get_filter` found."""
    if program:
        code = ctypes.create_string_buffer(program, len(program))
        fprog = struct.pack("HxxxxxxP", len(program) // _INSTRUCTION, ctypes.addressof(code))
        sock.setsockopt(_SOL, _SO_ATTACH_FILTER, fprog)


def disconnect(sock: socket.socket) -> None:
    """As connect(2) does for AF_UNSPEC."""
    unspecified = struct.pack("=H14x", socket.AF_UNSPEC)
    checked(libc.connect(sock.fileno(), unspecified, ctypes.c_uint(len(unspecified))))


def queued(fd: int) -> int:
    """Bytes that wait to be read (SIOCINQ); of datagrams only the first counts."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def unread(fd: int) -> int:
    """What counts of all that it has sent and nobody has read (SIOCOUTQ); 0 for one that listens."""
    count = array.array("i", [0])
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCOUTQ, count)
    return count[0]


def name_bytes(address: str | bytes | None) -> bytes:
    """A unix socket's address as bytes: a path, b"\\0..." if abstract, b"" if it has none."""
    return os.fsencode(address or b"")

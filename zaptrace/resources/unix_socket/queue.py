"""What waits to be read from a unix socket, looked at without taking it.

A look is a read with MSG_PEEK: descriptors that wait are given to us as copies, and senders told where
SO_PASSCRED is on, which it is for the moment of the look.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..common.file import unsupported
from ..common.libc import libc
from ..common.privilege import CAP_SETGID, CAP_SETUID, beginning
from ..common.socket import name_bytes, queued
from . import diag as diag
from . import urgent
from .message import MOST_FILES, Message, Sender

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile

_RCV_SHUTDOWN = 1
_SO_PEEK_OFF, _SO_PASSRIGHTS = 42, 83
_SOL = socket.SOL_SOCKET
_SCM_RIGHTS, _SCM_CREDENTIALS, _SCM_PIDFD = 1, 2, 4
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_LARGEST = 1 << 20
_CONTROL = socket.CMSG_SPACE(4 * MOST_FILES) + 2 * socket.CMSG_SPACE(12)
_UCRED = struct.Struct("=iII")


def look(
    file: FrozenFile, sock: socket.socket, known: diag.UnixSocket
) -> tuple[bool, list[Message]]:
    """(an error waits, what waits to be read). Takes nothing out, not even the error."""
    poll = select.poll()
    poll.register(sock, select.POLLPRI)
    events = next((events for _, events in poll.poll(0)), 0)
    error = bool(events & select.POLLERR)
    total = queued(sock.fileno())
    stream = known.type == socket.SOCK_STREAM
    if error and not stream:
        if total:
            raise unsupported(
                file,
                "has an error and messages that were not read yet",
                needed="one of the two; looking at the messages would take the error away",
                do="try again once the program has read them",
            )
        return True, []
    with _for_now(sock, socket.SO_PASSCRED, 1), _for_now(sock, _SO_PASSRIGHTS, 1):
        if stream:
            return error, _pieces(file, sock, total, urgent_too=bool(events & select.POLLPRI))
        return error, list(_datagrams(file, sock, known))


def _pieces(
    file: FrozenFile, sock: socket.socket, total: int, *, urgent_too: bool
) -> list[Message]:
    stream = _Stream(file, sock, total)
    if not urgent_too:
        return list(stream.pieces())
    with _for_now(sock, socket.SO_OOBINLINE, 0):
        byte, first = urgent.value(sock), urgent.is_next(sock)
    with _for_now(sock, socket.SO_OOBINLINE, 1):
        pieces = list(stream.pieces())
    return urgent.marked(file, pieces, stream.looks, byte, first=first)


@contextlib.contextmanager
def _for_now(sock: socket.socket, option: int, value: int) -> Iterator[None]:
    """Have an option for a while; nothing where this kernel has no such."""
    try:
        before = sock.getsockopt(_SOL, option)
    except OSError:
        yield
        return
    sock.setsockopt(_SOL, option, value)
    try:
        yield
    finally:
        sock.setsockopt(_SOL, option, before)


def _datagrams(file: FrozenFile, sock: socket.socket, known: diag.UnixSocket) -> Iterator[Message]:
    # Each look moves the offset on, by which also an empty message is passed.
    with _for_now(sock, _SO_PEEK_OFF, 0):
        while True:
            try:
                data, control, flags, source = sock.recvmsg(_LARGEST, _CONTROL, _PEEK)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.ENOTCONN):  # of seqpacket: nobody ever sent
                    return
                raise
            if not data and known.shutdown & _RCV_SHUTDOWN and not control:
                return
            if flags & socket.MSG_TRUNC:
                raise unsupported(file, f"has a message of more than {_LARGEST} bytes to read")
            sender, files = _told(file, control)
            yield Message(data, name_bytes(source), sender, files)


class _Stream:
    """The bytes of a stream, in pieces that tell the same.

    A read ends before another sender's bytes, and after those that descriptors came with.
    """

    def __init__(self, file: FrozenFile, sock: socket.socket, total: int) -> None:
        self.file = file
        self.sock = sock
        self.total = total
        self.looks: set[int] = set()
        """Where each look has begun: the one before had ended there."""

    def pieces(self) -> Iterator[Message]:
        with _for_now(self.sock, _SO_PEEK_OFF, 0):
            at = 0
            while at < self.total:  # and no further: there a read would take an error
                self.looks.add(at)
                self.sock.setsockopt(_SOL, _SO_PEEK_OFF, at)
                data, control, _, _ = self.sock.recvmsg(self.total - at, _CONTROL, _PEEK)
                if not data:
                    return
                sender, files = _told(self.file, control)
                border = self._before_last(at, len(data)) if files else 0
                if border:
                    yield Message(data[:border], b"", sender, [])
                yield Message(data[border:], b"", sender, files)
                at += len(data)

    def _before_last(self, at: int, size: int) -> int:
        """How many of these bytes were not sent with the last of them.

        The kernel copies bytes as they were sent, all of them or, where there is no place for one,
        none; and tells how many it has copied until then.
        """
        self.sock.setsockopt(_SOL, _SO_PEEK_OFF, at)
        place = ctypes.create_string_buffer(size - 1)
        nowhere = 1
        iov = struct.pack("PNPN", ctypes.addressof(place), size - 1, nowhere, 1)
        vector = ctypes.create_string_buffer(iov, len(iov))
        head = struct.pack("PIPNPNi4x", 0, 0, ctypes.addressof(vector), 2, 0, 0, 0)
        message = ctypes.create_string_buffer(head, len(head))
        result: int = libc.recvmsg(self.sock.fileno(), message, ctypes.c_int(_PEEK))
        return max(result, 0)


def _told(
    file: FrozenFile, control: list[tuple[int, int, bytes]]
) -> tuple[Sender | None, list[int]]:
    """(sender, open files) of a message."""
    sender: Sender | None = None
    files: list[int] = []
    for level, kind, data in control:
        if (level, kind) == (_SOL, _SCM_RIGHTS):
            fds = struct.unpack(f"={len(data) // 4}i", data)
            files += [file.pod.under_way(fd).id for fd in fds]
        elif (level, kind) == (_SOL, _SCM_CREDENTIALS):
            sender = _sender(file, *_UCRED.unpack(data))
        elif (level, kind) == (_SOL, _SCM_PIDFD):  # of the sender, who is told already
            os.close(*struct.unpack("=i", data))
    return sender, files


def _sender(file: FrozenFile, rpid: int, uid: int, gid: int) -> Sender | None:
    if not rpid:
        return None
    own = uid in os.getresuid() and gid in os.getresgid()
    if not own and not beginning().has(CAP_SETUID, CAP_SETGID):
        raise unsupported(
            file,
            "has a message of another user to read",
            needed=f"senders of user {os.getuid()}, group {os.getgid()}",
            found=f"one of user {uid}, group {gid}",
            do="try again once the program has read it",
        )
    return Sender(file.pod.peer_vpid(rpid), uid, gid)

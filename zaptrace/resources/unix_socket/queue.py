"""What waits to be read from a unix socket, looked at without taking it."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.file import unsupported
from ..common.socket import name_bytes, queued
from . import diag as diag

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile

_RCV_SHUTDOWN = 1
_SO_PEEK_OFF = 42
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Message:
    data: bytes
    source: bytes
    """The sender's address, if it had one."""


def look(
    file: FrozenFile, sock: socket.socket, known: diag.UnixSocket
) -> tuple[bool, list[Message]]:
    """(an error waits, what waits to be read). Takes nothing out, not even the error."""
    if int(file.info.get("scm_fds", ["0"])[0]):
        raise _descriptors(file)
    poll = select.poll()
    poll.register(sock, 0)
    error = any(events & select.POLLERR for _, events in poll.poll(0))
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
    passcred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED)
    before = sock.getsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF)
    sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
    found: list[Message] = []
    try:
        # A stream is read up to its length and no further: there a read would take the error.
        while not stream or total > 0:
            data, _, flags, source = sock.recvmsg(
                min(total, _LARGEST) if stream else _LARGEST, 0, _PEEK
            )
            if flags & socket.MSG_CTRUNC and not passcred and "scm_fds" not in file.info:
                raise _descriptors(file)
            if not data and (stream or known.shutdown & _RCV_SHUTDOWN):
                break
            found.append(Message(data, name_bytes(source)))
            total -= len(data)
    except BlockingIOError:
        pass
    finally:
        sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, before)
    return error, found


def _descriptors(file: FrozenFile) -> Exception:
    return unsupported(
        file,
        "has file descriptors on their way to it",
        needed="no SCM_RIGHTS message that waits to be read",
        do="try again once the program has received them",
    )

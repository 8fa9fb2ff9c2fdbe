"""What is under way in a TCP connection: looked at without taking it, and put there again.

Bytes wait with who is to read them, or still with who has sent them, where nobody can look. So those
are brought over first, which the kernel would do by itself as soon as there is room: the receiver is
given room. A look is a read with MSG_PEEK. Nothing is taken, so a pod that goes on finds all in order.

To be given room: SO_RCVLOWAT grows the queue up to half of net.ipv4.tcp_rmem, without privilege, and a
look then has the kernel tell the other side that there is room. Large it stays, as the kernel itself
might have made it, unless the program has fixed its size (SO_BUF_LOCK shows that and undoes it, since
Linux 5.14). Then it holds more than it would have, and until that is read what is sent on is dropped
by the kernel, and sent again by its timer.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import functools
import select
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from ...shapes import Data, Range
from ..common.socket import queued

ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2 = 1, 2, 3, 4, 5
CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = 7, 8, 9, 10, 11
STATES = (
    "?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
)  # fmt: skip
SAID_END = (FIN_WAIT1, FIN_WAIT2, CLOSING, LAST_ACK)
"""States of an end that has been shut down for writing."""

LARGEST_SEGMENT = 32767
"""The most that TCP_MAXSEG takes; what the kernel chooses itself on this host is more."""
PATIENCE_S = 5.0
_STEP_S = 0.01
_SOL, _TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
_SO_PEEK_OFF, _SO_BUF_LOCK = 42, 72
_SNDBUF_LOCK, _RCVBUF_LOCK = 1, 2
_TCP_WINDOW_CLAMP = 10
_LARGEST = 0x7FFF_FFFF
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
_PIECE = 1 << 18


@dataclass(frozen=True)
class Unread:
    """What waits to be read from a connection."""

    data: Data
    """With the urgent byte, in its place."""
    urgent: Annotated[int, Range(-1, 1 << 30)]
    """Where that is in `data`; -1: there is none."""
    urgent_read: bool
    """It was read already, by MSG_OOB, and is only a gap in the stream now."""


NOTHING = Unread(b"", -1, False)


@dataclass(frozen=True)
class Info:
    """Of struct tcp_info."""

    state: int
    advertised: int
    """The largest segment that it wants to be sent."""
    sent: int
    """Bytes of the program's that were sent, each counted once."""
    unsent: int
    received: int
    """Bytes that came in order, and 1 for the end of the stream."""


def info(sock: socket.socket) -> Info:
    raw = sock.getsockopt(_TCP, socket.TCP_INFO, 224)
    (advertised,) = struct.unpack_from("=I", raw, 84)
    (received,) = struct.unpack_from("=Q", raw, 128)
    (unsent,) = struct.unpack_from("=I", raw, 144)
    sent, again = struct.unpack_from("=QQ", raw, 200)
    return Info(raw[0], advertised, sent - again, unsent, received)


def accept_queue(listener: socket.socket) -> tuple[int, int]:
    """(how many wait to be accepted, what listen(2) was given)."""
    raw = listener.getsockopt(_TCP, socket.TCP_INFO, 32)
    waiting, backlog = struct.unpack_from("=II", raw, 24)  # tcpi_unacked, tcpi_sacked
    return waiting, backlog


def has_error(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def is_delivered(sender: socket.socket, receiver: socket.socket) -> bool:
    """Has all come over that was sent, the end of the stream too?"""
    one, other = info(sender), info(receiver)
    if one.unsent:
        return False
    if other.received == one.sent + (one.state in SAID_END):
        return True
    return _unconfirmed(sender) == 0


def deliver(sender: socket.socket, receiver: socket.socket) -> bool:
    """Bring over what was sent; False if it does not come."""
    if is_delivered(sender, receiver):
        return True
    delivered = partial(is_delivered, sender, receiver)
    with _pushed(sender):
        if not _lock(receiver) & _RCVBUF_LOCK:
            _grow(receiver)
            return soon(delivered, receiver)
        room = queued(receiver.fileno()) + _missing(sender, receiver)
        most = 2 * room + _PIECE
        deadline = time.monotonic() + PATIENCE_S
        with _of_another_size(receiver):
            while not soon(delivered, receiver, _STEP_S) and time.monotonic() < deadline:
                _grow(receiver, room)
                room = min(room + room // 16 + 1024, most)
            return delivered()


def _missing(sender: socket.socket, receiver: socket.socket) -> int:
    one = info(sender)
    return max(one.sent + one.unsent - info(receiver).received, 0)


def receive_to_the_end(receiver: socket.socket) -> bool:
    """The same from a sender that nobody has any more."""
    over = (CLOSE_WAIT, CLOSE)
    if info(receiver).state in over:
        return True
    with _roomy(receiver):
        return soon(lambda: info(receiver).state in over, receiver)


def _grow(receiver: socket.socket, to: int = _LARGEST) -> None:
    """Let it hold so many bytes, or as many as the kernel ever allows."""
    low = receiver.getsockopt(_SOL, socket.SO_RCVLOWAT)
    receiver.setsockopt(_SOL, socket.SO_RCVLOWAT, to)
    receiver.setsockopt(_SOL, socket.SO_RCVLOWAT, low)


def takes(receiver: socket.socket) -> None:
    """Tell its sender that there is room."""
    with contextlib.suppress(OSError):
        receiver.recv(1, _PEEK)


def soon(
    holds: Callable[[], bool], receiver: socket.socket | None = None, patience: float = PATIENCE_S
) -> bool:
    """Wait until it holds; False if it does not in time. `receiver` says again that it has room."""
    deadline = time.monotonic() + patience
    pause = 0.0
    while not holds():
        if time.monotonic() > deadline:
            return False
        if receiver is not None:
            takes(receiver)
        time.sleep(pause)
        pause = min(pause + 0.00005, 0.005)
    return True


@contextlib.contextmanager
def _pushed(sender: socket.socket) -> Iterator[None]:
    """What it holds back to send more at once goes out, also where it is corked."""
    before = sender.getsockopt(_TCP, socket.TCP_NODELAY)
    sender.setsockopt(_TCP, socket.TCP_NODELAY, 1)
    try:
        yield
    finally:
        sender.setsockopt(_TCP, socket.TCP_NODELAY, before)


@contextlib.contextmanager
def _roomy(receiver: socket.socket) -> Iterator[None]:
    """It has room; one of a fixed size only for a while."""
    if _lock(receiver) & _RCVBUF_LOCK:
        with _of_another_size(receiver):
            _grow(receiver)
            yield
    else:
        _grow(receiver)
        yield


@contextlib.contextmanager
def _of_another_size(receiver: socket.socket) -> Iterator[None]:
    """Its size is not fixed, for a while."""
    size = receiver.getsockopt(_SOL, socket.SO_RCVBUF)
    clamp = receiver.getsockopt(_TCP, _TCP_WINDOW_CLAMP)
    lock = _lock(receiver)
    receiver.setsockopt(_SOL, _SO_BUF_LOCK, lock & ~_RCVBUF_LOCK)
    try:
        yield
    finally:
        receiver.setsockopt(_SOL, socket.SO_RCVBUF, size // 2)
        receiver.setsockopt(_SOL, _SO_BUF_LOCK, lock)
        with contextlib.suppress(OSError):  # a connection that is over has none
            receiver.setsockopt(_TCP, _TCP_WINDOW_CLAMP, clamp)


@functools.cache
def _most_to_send() -> int:
    """The largest SO_SNDBUF that may be set here (net.core.wmem_max, doubled)."""
    with socket.socket() as sock:
        sock.setsockopt(_SOL, socket.SO_SNDBUF, _LARGEST // 2)
        return sock.getsockopt(_SOL, socket.SO_SNDBUF)


@contextlib.contextmanager
def _spacious(sender: socket.socket) -> Iterator[None]:
    """It takes as much as this host allows, for a while."""
    lock = _lock(sender)
    size = sender.getsockopt(_SOL, socket.SO_SNDBUF)
    if size >= _most_to_send():  # as the kernel itself may make it
        yield
        return
    sender.setsockopt(_SOL, socket.SO_SNDBUF, _most_to_send() // 2)
    try:
        yield
    finally:
        sender.setsockopt(_SOL, socket.SO_SNDBUF, size // 2)
        with contextlib.suppress(OSError):  # before Linux 5.14
            sender.setsockopt(_SOL, _SO_BUF_LOCK, lock)


def _lock(sock: socket.socket) -> int:
    """Which of its buffers have a fixed size; before Linux 5.14 nobody can tell: 0."""
    try:
        return sock.getsockopt(_SOL, _SO_BUF_LOCK)
    except OSError:
        return 0


def _unconfirmed(sender: socket.socket) -> int:
    """Bytes that the other side has not confirmed yet (SIOCOUTQ)."""
    count = array.array("i", [0])
    fcntl.ioctl(sender.fileno(), termios.TIOCOUTQ, count)
    return count[0]


# what waits to be read


def look(sock: socket.socket) -> Unread | None:
    """Takes nothing. None where this kernel cannot look behind an urgent byte (before Linux 6.9)."""
    with _inline(sock, False):
        mark = queued(sock.fileno())
    with _inline(sock):
        size = queued(sock.fileno())
        if not size:
            return NOTHING
        data = _peek(sock, size)
    if len(data) < size:
        return None
    if mark == size:
        return Unread(data, -1, False)
    return Unread(data, mark, not _has_urgent(sock))


@contextlib.contextmanager
def _inline(sock: socket.socket, wanted: bool = True) -> Iterator[None]:
    """An urgent byte is one of the stream, for a while; or is not."""
    before = sock.getsockopt(_SOL, socket.SO_OOBINLINE)
    sock.setsockopt(_SOL, socket.SO_OOBINLINE, wanted)
    try:
        yield
    finally:
        sock.setsockopt(_SOL, socket.SO_OOBINLINE, before)


def _has_urgent(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLPRI)
    return any(events & select.POLLPRI for _, events in poll.poll(0))


def _peek(sock: socket.socket, size: int) -> bytes:
    """A read ends before an urgent byte, and the next begins there."""
    try:
        before = sock.getsockopt(_SOL, _SO_PEEK_OFF)
        sock.setsockopt(_SOL, _SO_PEEK_OFF, 0)
    except OSError:
        return sock.recv(size, _PEEK)
    try:
        data = b""
        while len(data) < size:
            sock.setsockopt(_SOL, _SO_PEEK_OFF, len(data))
            piece = sock.recv(size - len(data), _PEEK)
            if not piece:
                break
            data += piece
        return data
    finally:
        sock.setsockopt(_SOL, _SO_PEEK_OFF, before)


def put(sender: socket.socket, receiver: socket.socket | None, unread: Unread) -> None:
    """Have this wait in `receiver` again, and, where it has no room, in `sender`.

    None is a receiver that nobody has yet.
    """
    at = unread.urgent if unread.urgent >= 0 else len(unread.data)
    with _pushed(sender), _spacious(sender):
        _send_all(sender, receiver, unread.data[:at], 0)
        _send_all(sender, receiver, unread.data[at : at + 1], socket.MSG_OOB)
        if unread.urgent_read and receiver is not None:
            soon(lambda: _has_urgent(receiver), receiver)
            receiver.recv(1, socket.MSG_OOB)
        _send_all(sender, receiver, unread.data[at + 1 :], 0)


def _send_all(
    sender: socket.socket, receiver: socket.socket | None, data: bytes, flags: int
) -> None:
    deadline = time.monotonic() + PATIENCE_S
    view = memoryview(data)
    while view:
        try:
            view = view[sender.send(view[:_PIECE], flags | socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            if receiver is not None:
                with _roomy(receiver):
                    takes(receiver)
            time.sleep(0)

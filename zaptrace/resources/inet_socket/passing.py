"""What an internet socket has for a moment only, as a rule, and nobody could give it again."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ...errors import Unsettled
from ..common.file import unsupported
from ..common.socket import unread
from . import flow
from .failed import how_it_failed
from .queue import look
from .refused import is_refused

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile


_TIMESTAMPS = (29, 35, 63, 64)  # SO_TIMESTAMP, SO_TIMESTAMPNS, each in two widths
_TIMESTAMPING = 37
_OF_RECEIPT = 1 << 2 | 1 << 3  # SOF_TIMESTAMPING_RX_HARDWARE, _RX_SOFTWARE


def refuse_passing(file: FrozenFile, sock: socket.socket) -> None:
    """Raises Unsettled for a datagram that is begun, one whose time of receipt its reader wants to
    know, and for an error nobody knows."""
    of_udp = sock.type == socket.SOCK_DGRAM
    if of_udp and (held := unread(sock.fileno())):
        raise unsupported(
            file,
            "has begun a datagram that was not sent yet",
            kind=Unsettled,
            needed="whole ones: what is put together there (UDP_CORK, MSG_MORE), nobody can look at",
            found=f"{held} bytes of memory held by it",
            do="try again once the program has sent it",
        )
    error = flow.has_error(sock)
    if of_udp and not error and _tells_when(sock) and look(sock):
        raise unsupported(
            file,
            "holds datagrams that were not read yet, and is to tell when each was received",
            kind=Unsettled,
            needed="an empty one (SO_TIMESTAMP, SO_TIMESTAMPING): sent again, they come at another time",
            do="try again once the program has read them",
        )
    if not error or is_refused(sock):
        return
    closed = not of_udp and flow.info(sock).state == flow.CLOSE
    if not (closed and how_it_failed(sock)):
        what = "a UDP socket" if of_udp else "a TCP connection"
        raise unsupported(
            file,
            f"is {what} with an error that was not read yet",
            kind=Unsettled,
            needed="none, nor news of what was sent (IP_RECVERR, SO_TIMESTAMPING, MSG_ZEROCOPY): to look "
            "at it would take it away",
            do="try again once the program has read it",
        )


def _tells_when(sock: socket.socket) -> bool:
    if any(sock.getsockopt(socket.SOL_SOCKET, option) for option in _TIMESTAMPS):
        return True
    return bool(sock.getsockopt(socket.SOL_SOCKET, _TIMESTAMPING) & _OF_RECEIPT)

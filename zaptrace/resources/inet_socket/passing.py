"""What an internet socket has for a moment only, as a rule, and nobody could give it again."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ...errors import Unsettled
from ..common.file import unsupported
from ..common.socket import unread
from . import flow
from .failed import how_it_failed
from .refused import is_refused

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile


def refuse_passing(file: FrozenFile, sock: socket.socket) -> None:
    """Raises Unsettled for a datagram that is begun, and for an error nobody knows."""
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
    if not flow.has_error(sock) or is_refused(sock):
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

"""Which halves of UDP sockets are shut down: no call tells."""

from __future__ import annotations

import contextlib
import socket
import struct

from ..common.sock_diag import ask, attributes

_INODE = 68
_BODY = 72  # sizeof (struct inet_diag_msg)
_SHUTDOWN = 8


def shutdowns() -> dict[int, int]:
    """Of those that are, by inode: RCV_SHUTDOWN 1, SEND_SHUTDOWN 2."""
    found: dict[int, int] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        request = struct.pack("=BBBxI48x", family, socket.IPPROTO_UDP, 0, 0xFFFFFFFF)
        with contextlib.suppress(OSError):  # a kernel without udp_diag
            for body in ask(request, dump=True):
                shut = attributes(body[_BODY:]).get(_SHUTDOWN, b"\0")[0]
                if shut:
                    found[struct.unpack_from("=I", body, _INODE)[0]] = shut
    return found

"""TCP connections that the other side has reset, where the program has not read that yet.

To look at an error is to take it away. So it is known by how it came about: nothing was sent again, so
it is no timeout, and no error of the network comes through to a connection that did not ask for them
(IP_RECVERR): what is left is a reset. It is EPIPE where the other side had said before that it would
send no more, else ECONNRESET. Nothing says that it had; but of one with nothing to be read any more, a
look by TCP_ZEROCOPY_RECEIVE takes nothing and is refused then, and what came in all has the end of the
stream for one byte more.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket

from ..common.libc import checked, libc
from ..common.socket import queued
from . import flow
from .refused import asks_for_more
from .state import BROKEN, RESET

_RETRANSMITS, _PROBES = 2, 3  # in struct tcp_info
_SO_ZEROCOPY, _TCP_ZEROCOPY_RECEIVE = 60, 35
_LOOK = 20
"""Bytes of struct tcp_zerocopy_receive before its `err`, which would be taken."""


def how_it_failed(sock: socket.socket) -> str | None:
    """Of one that has an error and is closed. None: it may be another one."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _PROBES + 1)
    if info[_RETRANSMITS] or info[_PROBES] or asks_for_more(sock):
        return None
    with contextlib.suppress(OSError):
        if sock.getsockopt(
            socket.SOL_SOCKET, _SO_ZEROCOPY
        ):  # news of what was sent are errors, too
            return None
    if not (unread := queued(sock.fileno())):
        return BROKEN if _has_come_to_an_end(sock) else RESET
    beyond = flow.info(sock).received - unread
    return {0: RESET, 1: BROKEN}.get(beyond)


def _has_come_to_an_end(sock: socket.socket) -> bool:
    zeroes, size = ctypes.create_string_buffer(_LOOK), ctypes.c_uint32(_LOOK)
    into = socket.IPPROTO_TCP, _TCP_ZEROCOPY_RECEIVE, zeroes, ctypes.byref(size)
    try:
        checked(libc.getsockopt(sock.fileno(), *into))
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return True
    return False

"""The TCP connections of a listening socket: how many there may be, strangers' too.

libzmq accepts whatever comes, and where a process has no descriptor left it tries again at once, for
ever. So we look on: its monitor tells of each connection with its descriptor. The one that would be
too many is shut down at once, from below; libzmq sees an end of file and closes it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..limits import CONNECTIONS
from ..log import log

_libc = ctypes.CDLL(None, use_errno=True)
_COME = zmq.Event.ACCEPTED
_GONE = zmq.Event.CLOSED | zmq.Event.DISCONNECTED
_SAY_EVERY_S = 10.0
_TURN = 1000
"""Events at a time."""


def most_connections() -> int:
    """CONNECTIONS, or half of the descriptors that we may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if soft == resource.RLIM_INFINITY else min(CONNECTIONS, soft // 2)


def _is_short() -> bool:
    """Is there no descriptor left?"""
    try:
        os.close(os.eventfd(0, os.EFD_CLOEXEC))
    except OSError:
        return True
    return False


class Door:
    """Looks on at `socket`; `look` is to be called whenever `monitor` can be read."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._most = most_connections()
        self._inside: dict[int, None] = {}
        self._said_at = 0.0
        events = _COME | _GONE | zmq.Event.ACCEPT_FAILED
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(events)

    def look(self) -> None:
        """What has happened since, and what is to be done about it."""
        failed = False
        for _ in range(_TURN):
            if not self.monitor.poll(0):
                break
            told = recv_monitor_message(self.monitor)
            event, fd = told["event"], told["value"]
            if event == _COME:
                self._inside[fd] = None
            elif event & _GONE:
                self._inside.pop(fd, None)
            else:
                failed = True
        full = len(self._inside) > self._most
        while len(self._inside) > self._most:
            self._shut(self._inside.popitem()[0])
        short = failed and _is_short()  # still: what is told may be of some time ago
        if short and self._inside:  # the last to come makes room
            self._shut(self._inside.popitem()[0])
        if short or full:
            self._say("no descriptor is left" if short else f"{self._most} are the most")

    def _shut(self, fd: int) -> None:
        _libc.shutdown(fd, socket.SHUT_RDWR)

    def _say(self, why: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= _SAY_EVERY_S:
            self._said_at = now
            log.warning("connections are turned away: %s (ulimit -n)", why)

    def close(self) -> None:
        """Before the socket is closed."""
        self._socket.disable_monitor()
        self.monitor.close(linger=0)

"""TCP listeners that share a port (SO_REUSEPORT): the kernel has each connection come to one of them.

Which one, it works out of both addresses, a secret of the host's, and the order in which they began to
listen. So who waits at one of them and is connected anew, from the same port, may come to another. For as
long as those connect a program of ours chooses (classic BPF, which takes no privilege).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..common.socket import borrowed
from . import flow
from .address import address
from .backlog import quiet
from .flow import accept_queue
from .unseen import REUSEPORT_FILTER
from .virtual import notes_of

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile

_SOL = socket.SOL_SOCKET
_INCOMING_CPU, _DETACH = 49, 68
_RESET = struct.pack("ii", 1, 0)
_RETURN = 0x06  # BPF_RET | BPF_K
_MOST = 64
"""Places to look at for one of ours: others of this user may be in the group, too."""


def are_a_group(files: Sequence[FrozenFile]) -> bool:
    """Do they share one address, and nobody but the kernel says who gets a connection?"""
    shared = set()
    for file in files:
        with borrowed(file.local) as sock:
            chosen = sock.getsockopt(_SOL, _INCOMING_CPU) >= 0 or REUSEPORT_FILTER in notes_of(file)
            if chosen or not sock.getsockopt(_SOL, socket.SO_REUSEPORT):
                return False
            shared.add((sock.family, address(sock.getsockname())))
    return len(shared) == 1


class Group:
    """Listeners at which nobody waits yet, by their open files. They are ours to close."""

    def __init__(self, socks: Mapping[int, socket.socket]) -> None:
        self._socks = dict(socks)
        self._places: dict[int, int] = {}
        """Of each listener in the kernel's list."""

    def have_come_to(self, listener: int) -> None:
        """Who connects from now on."""
        if not self._places:
            self._find_places()
        self._choose(self._places[listener])

    def close(self) -> None:
        """From now on the kernel chooses, as before."""
        if self._places:
            self._any.setsockopt(_SOL, _DETACH, 0)
        for sock in self._socks.values():
            sock.close()
        self._socks.clear()
        self._places.clear()

    @property
    def _any(self) -> socket.socket:
        return next(iter(self._socks.values()))

    def _choose(self, place: int) -> None:
        code = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, place), 8)
        program = struct.pack("HxxxxxxP", 1, ctypes.addressof(code))
        self._any.setsockopt(*REUSEPORT_FILTER, program)

    def _find_places(self) -> None:
        for place in range(_MOST):
            if len(self._places) == len(self._socks):
                return
            self._choose(place)
            if (listener := self._who_is_asked()) is not None:
                self._places[listener] = place
        raise OSError(errno.EADDRINUSE, "listeners of a group are not found in it")

    def _who_is_asked(self) -> int | None:
        """Of ours, when one of us connects."""
        at = address(self._any.getsockname())
        if at.is_any:
            at = replace(at.elsewhere(self._any.family), port=at.port)
        with socket.socket(self._any.family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(_SOL, socket.SO_LINGER, _RESET)
            probe.setblocking(False)
            number = probe.connect_ex(at.raw(probe.family))
            if number not in (0, errno.EINPROGRESS):
                raise OSError(number, os.strerror(number), at.shown)
            flow.soon(lambda: flow.info(probe).state != flow.SYN_SENT)
            name = address(probe.getsockname()).key
            flow.soon(lambda: any(accept_queue(sock)[0] for sock in self._socks.values()))
            for listener, sock in self._socks.items():
                if accept_queue(sock)[0] and _takes(sock, name):
                    return listener
        return None


def _takes(listener: socket.socket, name: object) -> bool:
    with quiet(listener):
        accepted, peer = listener.accept()
    with accepted:
        accepted.setsockopt(_SOL, socket.SO_LINGER, _RESET)
        return address(peer).key == name

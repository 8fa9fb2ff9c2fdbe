"""unix(7) sockets: pairs and connections inside the pod, listeners, bound and unbound ones.

Of each: its address and where the file of that is now, options and filter, shut-down halves, whom it
tells as its peer, and what waits to be read, message by message, with senders and descriptors, looked
at without taking it. A peer that was closed stays closed. A datagram socket that talks to one outside
(as syslog's clients do) is connected again.

Not carried, and refused: a stream to a process outside the pod, unless it is to be closed; a
connection not accepted yet whose client is outside, or closed, or has sent something (to look at it is
to accept it) and that stays so for seconds; out-of-band data, a filter of eBPF, an error not read yet on
a socket with messages, peers and senders of another user; in a migration within one host, connections
to an abstract address.
"""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.socket import domain
from ..room import Whole, bad
from .capture import find_files_under_way as find_files_under_way
from .capture import look_at_all
from .restore import register
from .state import CONNECTED, WAITING, Socket
from .state import NAME as _NAME
from .state import is_note as is_note
from .unaccepted import refuse_unaccepted as _refuse_unaccepted

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod

NAME = _NAME


@dataclass(frozen=True)
class State(Socket):
    """One socket; see state.py."""


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    return domain(file.local) == socket.AF_UNIX


def verify(states: list[State], whole: Whole) -> None:
    known = {state.ino: state for state in states}
    for state in states:
        peer = known.get(state.peer)
        who = f"unix socket {state.ino}"
        stream = state.type != socket.SOCK_DGRAM
        if peer is not None and peer.type != state.type:
            raise bad(f"{who} has a peer of another type")
        if state.status == CONNECTED and stream and (peer is None or peer.peer != state.ino):
            raise bad(f"{who} is connected to one that is not connected to it")
        if state.status == CONNECTED and not peer and not state.peer_name:
            raise bad(f"{who} is connected to nobody")
        if state.status == WAITING and (peer is None or state.ino not in peer.clients):
            raise bad(f"{who} waits for nobody to accept it")
        if any(known[c].peer != state.ino for c in state.clients if c in known):
            raise bad(f"{who} is to accept one that does not wait for it")


def capture(pod: FrozenPod) -> list[State]:
    return [State(**vars(sock)) for sock in look_at_all(pod)]


def refuse_unaccepted(pod: FrozenPod) -> None:
    _refuse_unaccepted(pod.files(NAME))


def restore(states: list[State], build: Build) -> None:
    register(list[Socket](states), build)

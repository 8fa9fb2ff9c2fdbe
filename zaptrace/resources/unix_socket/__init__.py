"""unix(7) sockets: pairs and connections inside the pod, listeners, bound and unbound ones.

Of each: its address and where the file of that is now, options and filter, shut-down halves, whom it
tells as its peer, and what waits to be read, message by message, with senders and descriptors, looked
at without taking it. A peer that was closed stays closed. A datagram socket that talks to one outside
(as syslog's clients do) is connected again.

A connection not accepted yet that something was sent on, or whose client is gone, is accepted by us, as
nobody could look at it else, and the pod's next accept(2) is answered with it (unaccepted.py).

Not carried, and refused: a stream to a process outside the pod, unless it is to be closed; a
connection not accepted yet whose client is outside, unless it is to be closed; one that has to be
accepted by us, at a listener that we cannot connect to, that somebody outside has, or that sends signals
(O_ASYNC), and that stays so for seconds; a filter of eBPF, an error not read yet on a socket with
messages, peers and senders of another user; in a migration within one host, connections to an abstract
address.
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
from .state import CONNECTED, LISTENING, ORPHANED, WAITING, Socket
from .state import NAME as _NAME
from .state import is_note as is_note
from .unaccepted import Unseen as Unseen
from .unaccepted import know_kept as know_kept

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
        if state.clients and state.status != LISTENING:
            raise bad(f"{who} is to accept, and does not listen")
        for client in (known[c] for c in state.clients if c in known):
            if client.status == WAITING and client.peer == state.ino:
                continue
            if client.status not in (CONNECTED, ORPHANED) or not _is_accepted_end(client, state):
                raise bad(f"{who} is to accept one that does not wait for it")
    to_accept = [ino for state in states for ino in state.clients]
    ends = [known[ino] for ino in to_accept if ino in known]
    once = to_accept + [end.peer for end in ends if end.status == CONNECTED]
    if len(set(once)) != len(once):
        raise bad("a unix socket is to be accepted twice, or by itself")
    kept = {end.file_id for end in ends if end.status != WAITING}
    if any(kept.intersection(message.files) for state in states for message in state.queue):
        raise bad("a unix socket is under way that is to be accepted")


def _is_accepted_end(end: State, listener: State) -> bool:
    same = (end.type, end.name) == (listener.type, listener.name)
    return same and bool(end.name) and not end.bound and (end.status == CONNECTED) == bool(end.peer)


def capture(pod: FrozenPod) -> list[State]:
    return [State(**vars(sock)) for sock in look_at_all(pod)]


def restore(states: list[State], build: Build) -> None:
    register(list[Socket](states), build)

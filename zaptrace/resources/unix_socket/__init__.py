"""unix(7) sockets: pairs and connections inside the pod, listeners, bound and unbound ones.

Of each: its address and where the file of that is now, options and filter, shut-down halves, whom it
tells as its peer, and what waits to be read, message by message, with senders and descriptors, looked
at without taking it. A peer that was closed stays closed. A datagram socket that talks to one outside
(as syslog's clients do) is connected again.

Not carried, and refused: a stream to a process outside the pod, a connection not accepted yet whose
client is outside, or closed, or has sent something (to look at it is to accept it) and that stays so
for seconds, out-of-band data,
a filter of eBPF, an error not read yet on a socket with messages, peers and senders of another user;
in a migration within one host, connections to an abstract address.
"""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.socket import domain
from .capture import find_files_under_way as find_files_under_way
from .capture import look_at_all
from .restore import register
from .state import NAME as _NAME
from .state import Socket
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


def capture(pod: FrozenPod) -> list[State]:
    return [State(**vars(sock)) for sock in look_at_all(pod)]


def refuse_unaccepted(pod: FrozenPod) -> None:
    _refuse_unaccepted(pod.files(NAME))


def restore(states: list[State], build: Build) -> None:
    register(list[Socket](states), build)

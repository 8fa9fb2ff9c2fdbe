"""Connections that nobody has accepted yet, and of which it cannot be told whose turn they are.

As a rule the program accepts them in a moment, so they are no refusal yet.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from typing import TYPE_CHECKING

from ...errors import Unsettled
from ..common.file import unsupported
from ..common.socket import borrowed
from . import flow
from .diag import tcp_sockets
from .flow import accept_queue
from .group import are_a_group
from .stream import WAITING

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile


def refuse_unaccepted(files: list[FrozenFile]) -> None:
    """Raises Unsettled for those of the pod's own that wait at one of several listeners of a port, or
    together with some from outside."""
    listening: dict[int, list[FrozenFile]] = defaultdict(list)
    busy: dict[int, FrozenFile] = {}
    for file in files:
        with borrowed(file.local) as sock:
            if sock.type == socket.SOCK_STREAM and flow.info(sock).state == flow.LISTEN:
                port = sock.getsockname()[1]
                listening[port].append(file)
                if accept_queue(sock)[0]:
                    busy[port] = file
    if not busy:
        return
    here = tcp_sockets()
    inside = {file.stat.st_ino for file in files}
    for port, file in busy.items():
        ends = [e for e, known in here.items() if e[0][1] == port and known.state in WAITING]
        waiting = [here.get(e[::-1]) for e in ends if not here[e].inode]
        ours = sum(client is not None and client.inode in inside for client in waiting)
        others = sum(client is None or client.inode not in {0, *inside} for client in waiting)
        there = listening[port]
        if ours and (others or (len(there) > 1 and not are_a_group(there))):
            raise unsupported(
                file,
                "has connections that were not accepted yet, whose turn nobody can tell",
                kind=Unsettled,
                needed="one listener at its port, or several with one address (SO_REUSEPORT) among whom "
                "the kernel chooses by itself, and connections of the pod's own alone",
                found=f"{len(there)} listeners at port {port}; {ours} of the pod's own wait, "
                f"and {others} others",
                do="try again once the program has accepted them",
            )

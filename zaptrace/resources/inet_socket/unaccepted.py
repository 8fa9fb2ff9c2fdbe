"""Connections that nobody has accepted yet, and of which it cannot be told whose turn they are.

As a rule the program accepts them in a moment, so they are no refusal yet.
"""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING

from ...errors import Unsettled
from ..common.file import unsupported
from ..common.socket import borrowed
from . import flow
from .diag import tcp_sockets
from .stream import WAITING, accept_queue

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile


def refuse_unaccepted(files: list[FrozenFile]) -> None:
    """Raises Unsettled for those of the pod's own that wait at one of several listeners of a port, or
    together with some from outside."""
    listening: Counter[int] = Counter()
    busy: dict[int, FrozenFile] = {}
    for file in files:
        with borrowed(file.local) as sock:
            if sock.type == socket.SOCK_STREAM and flow.info(sock).state == flow.LISTEN:
                port = sock.getsockname()[1]
                listening[port] += 1
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
        if ours and (others or listening[port] > 1):
            raise unsupported(
                file,
                "has connections that were not accepted yet, whose turn nobody can tell",
                kind=Unsettled,
                needed="one listener at its port, and connections of the pod's own alone",
                found=f"{listening[port]} listeners at port {port}; {ours} of the pod's own wait, "
                f"and {others} others",
                do="try again once the program has accepted them",
            )

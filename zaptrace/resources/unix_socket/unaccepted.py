"""Connections that nobody has accepted yet. Only the client's end of one can be looked at.

As a rule the program accepts it in a moment, so what cannot be carried of it is no refusal yet.
"""

from __future__ import annotations

import array
import fcntl
import termios
from typing import TYPE_CHECKING

from ...errors import Unsettled
from ..common.file import unsupported
from . import diag as diag
from .state import shown

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile


def refuse_unaccepted(files: list[FrozenFile]) -> None:
    """Raises Unsettled for a connection whose end cannot be looked at, or has something sent."""
    if not files:
        return
    inside = {file.stat.st_ino for file in files}
    listeners = {known.ino: known for known in diag.everything() if known.clients}
    waiting = {client for known in listeners.values() for client in known.clients}
    for file in files:
        if known := listeners.get(file.stat.st_ino):
            _refuse_lost_clients(file, known, inside)
        if file.stat.st_ino in waiting:
            _refuse_what_was_sent(file)


def _refuse_lost_clients(file: FrozenFile, known: diag.UnixSocket, inside: set[int]) -> None:
    if all(client in inside for client in known.clients):
        return
    gone = known.clients.count(0)
    what = f"{gone} that were closed again" if gone else "one from outside the pod"
    raise unsupported(
        file,
        "has connections that were not accepted yet, whose other end is not in the pod",
        needed="connections with both ends in the pod",
        found=f"{what}, of {len(known.clients)} waiting at {shown(known.name)}",
        do="try again once the program has accepted them",
        kind=Unsettled,
    )


def _refuse_what_was_sent(file: FrozenFile) -> None:
    sent = array.array("i", [0])
    fcntl.ioctl(file.local, termios.TIOCOUTQ, sent)
    if sent[0]:
        raise unsupported(
            file,
            "has sent what cannot be looked at, as nobody has accepted its connection yet",
            needed="connections that were accepted, or on which nothing was sent",
            do="try again once the program has accepted it",
            kind=Unsettled,
        )


def connector(file: FrozenFile) -> int:
    """Who has connected: the first that has it, as others have it from that one."""
    if not file.holders:
        raise unsupported(file, "is a unix connection that was not accepted yet")
    return file.holders[0][0].vpid

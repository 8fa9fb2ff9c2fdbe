"""Who is attached to a pod's terminal, and the flow of its output to them.

While somebody is attached the pod is held back as a slow terminal would hold it, so that they miss
nothing; but only for clients that keep acknowledging. One that stalls for STALL_S seconds loses the
right to hold the pod back, and later jumps over what scrolled away.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from . import control
from .control import Outcome
from .control_socket import ControlSocket, Request
from .terminal import Terminal

STALL_S = 5.0
_CHUNK = 32 * 1024


@dataclass
class Viewer:
    """An attached client: how much of the stream it was sent, and how much it has shown."""

    client: bytes
    request: int
    at: int
    acked: int
    alive_at: float = field(default_factory=time.monotonic)

    def ack(self, at: int) -> None:
        """The client has written everything before offset `at`."""
        if self.acked < at <= self.at:
            self.acked = at
            self.alive_at = time.monotonic()

    def stalled(self) -> bool:
        """True when it owes an acknowledgement for too long."""
        return self.acked < self.at and time.monotonic() - self.alive_at > STALL_S


class Viewers:
    """The viewers of one terminal. Belongs to the coordinator thread."""

    def __init__(self, terminal: Terminal, control_socket: ControlSocket) -> None:
        self.all: list[Viewer] = []
        self._ring = terminal.ring
        self._socket = control_socket

    def attach(self, request: Request, tail: int) -> None:
        """From here on the client gets the stream, with up to `tail` bytes of what was before."""
        at = self._ring.tail(tail) if tail else self._ring.end
        self.all.append(Viewer(request.client, request.id, at, at))

    def ack(self, request: Request, at: int) -> None:
        """The client has shown everything before `at`."""
        for viewer in self.all:
            if (viewer.client, viewer.request) == (request.client, request.id):
                viewer.ack(at)

    def detach(self, client: bytes) -> None:
        """Answer the client's attach, and forget it."""
        for viewer in [v for v in self.all if v.client == client]:
            self.all.remove(viewer)
            self._socket.send(client, {"id": viewer.request, "ok": True, "detached": True})

    def lost(self, client: bytes) -> None:
        """The client went away."""
        self.all = [v for v in self.all if v.client != client]

    def feed(self) -> None:
        """Send what is new, as far as the windows allow."""
        for viewer in list(self.all):
            while viewer in self.all and viewer.at < self._ring.end:
                if viewer.at - viewer.acked >= control.WINDOW or not self._send(viewer):
                    break

    def _send(self, viewer: Viewer) -> bool:
        """False when nothing more can be on its way to the client now."""
        at, data = self._ring.read(viewer.at, _CHUNK)
        skipped = at - viewer.at
        message = {"id": viewer.request, "stream": data, "at": at, "skipped": skipped}
        if not self._socket.offer(viewer.client, message):
            return False
        viewer.at = at + len(data)
        viewer.acked = max(viewer.acked, at - control.WINDOW)
        return True

    def has_room(self) -> bool:
        """False while the ring may not outrun somebody who keeps up."""
        limit = self._ring.limit // 2
        return not any(self._ring.end - v.acked > limit and not v.stalled() for v in self.all)

    def knock(self) -> None:
        """Find out those who died, by sending them nothing."""
        for viewer in list(self.all):
            message = {"id": viewer.request, "stream": b"", "at": viewer.at}
            self._socket.offer(viewer.client, message)

    def has_seen_all(self) -> bool:
        """True when nobody is behind who still keeps up."""
        return all(v.acked >= self._ring.end or v.stalled() for v in self.all)

    def end(self, outcome: Outcome) -> None:
        """Answer every attach with the end of the pod."""
        viewers, self.all = self.all, []
        for viewer in viewers:
            message = {"id": viewer.request, "ok": True, "outcome": outcome.to_dict()}
            self._socket.send(viewer.client, message)

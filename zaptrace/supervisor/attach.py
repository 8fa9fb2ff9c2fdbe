"""Who is attached to a pod's terminal, and the flow of its output to them.

    arrives      the window is moved and moved back, so that programs which fill it draw anew
    is shown     once they had time for that: what makes the screen, up to now (scrollback.py)
    sees         every byte from there on

While somebody is attached the pod is held back as a slow terminal would hold it, so that they miss
nothing; but only for clients that keep acknowledging. One that stalls for STALL_S seconds loses the
right to hold the pod back, and later jumps over what scrolled away.

The window is as large as the smallest of those who may type, so that each sees all of it.
"""

from __future__ import annotations

import time

from ..record import Record, field
from . import control
from .control import Outcome
from .control_socket import ControlSocket, Request
from .terminal import Terminal

STALL_S = 5.0
_CHUNK = 32 * 1024
_MOVED_S = 0.06
"""How long a program has to notice that its window is another, and to draw. A slow one draws later."""


class Viewer(Record):
    """An attached client: how much of the stream it was sent, and how much it has shown."""

    client: bytes
    request: int
    at: int
    acked: int
    size: tuple[int, int] = (0, 0)
    """(rows, columns) of its window; (0, 0): it has none."""
    read_only: bool = False
    arrives: bool = False
    """It was shown nothing yet."""
    alive_at: float = field(factory=time.monotonic)

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
        self._terminal = terminal
        self._ring = terminal.ring
        self._socket = control_socket
        self._moved_from: tuple[int, int] | None = None
        """The window's size, while it is moved for a moment."""
        self._next_at = 0.0
        """When it is moved back, or those that arrive are shown the screen; 0: neither is to come."""

    def attach(
        self,
        request: Request,
        rows: int,
        cols: int,
        *,
        tail: int = 0,
        redraw: bool = False,
        read_only: bool = False,
    ) -> None:
        """From here on the client gets the stream.

        With `redraw` first what makes the screen; else up to `tail` bytes of what was before.
        """
        ring = self._ring
        at = ring.tail(tail) if tail else ring.end
        viewer = Viewer(request.client, request.id, at, at, (rows, cols), read_only)
        alone = not self.all
        self.all.append(viewer)
        before = ring.size
        if not redraw:
            self._fit()
            return
        viewer.arrives = True
        if alone and ring.end and not read_only:
            self._fit()
            if ring.size == before:
                # Longer, not shorter: nothing scrolls away by that.
                self._moved_from = before
                self._terminal.resize(before[0] + 1, before[1])
            self._next_at = time.monotonic() + _MOVED_S
        else:
            self._fit()
            self._next_at = self._next_at or time.monotonic()

    def soon_ms(self) -> int | None:
        """In so many milliseconds `feed` has something to do of its own."""
        if not self._next_at:
            return None
        return max(int((self._next_at - time.monotonic()) * 1000) + 1, 0)

    def _turn(self) -> None:
        if not self._next_at or time.monotonic() < self._next_at:
            return
        if self._moved_from is not None:
            back, self._moved_from = self._moved_from, None
            self._terminal.resize(*(self._wanted() or back))
            if any(viewer.arrives for viewer in self.all):
                self._next_at = time.monotonic() + _MOVED_S
                return
        self._next_at = 0.0
        for viewer in [v for v in self.all if v.arrives]:
            viewer.arrives = False
            viewer.at = viewer.acked = self._ring.end
            message = {"id": viewer.request, "screen": self._ring.facts(), "at": viewer.at}
            self._socket.send(viewer.client, message)

    def _fit(self) -> None:
        wanted = self._wanted()
        if wanted is not None and self._moved_from is None:  # else when it is moved back
            self._terminal.resize(*wanted)

    def _wanted(self) -> tuple[int, int] | None:
        """None: nobody is there who has a say, so it stays as it is."""
        sizes = [v.size for v in self.all if all(v.size) and not v.read_only]
        if not sizes:
            return None
        return min(rows for rows, _ in sizes), min(cols for _, cols in sizes)

    def resize(self, client: bytes, rows: int, cols: int) -> None:
        """The client's window has another size."""
        for viewer in self.all:
            if viewer.client == client:
                viewer.size = (rows, cols)
        self._fit()

    def may_type(self, client: bytes) -> bool:
        """False for one that only wants to look."""
        return not any(v.client == client and v.read_only for v in self.all)

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
        self._fit()

    def lost(self, client: bytes) -> None:
        """The client went away."""
        self.all = [v for v in self.all if v.client != client]
        self._fit()

    def feed(self) -> None:
        """Send what is new, as far as the windows allow."""
        self._turn()
        for viewer in list(self.all):
            while viewer in self.all and not viewer.arrives and viewer.at < self._ring.end:
                if viewer.at - viewer.acked >= control.WINDOW or not self._send(viewer):
                    break

    def _send(self, viewer: Viewer) -> bool:
        """False when nothing more can be on its way to the client now."""
        at, data = self._ring.read(viewer.at, _CHUNK)
        skipped = at - viewer.at
        message = {"id": viewer.request, "stream": data, "at": at, "skipped": skipped}
        message["answers"] = self._answers(viewer)
        if not self._socket.offer(viewer.client, message):
            return False
        viewer.at = at + len(data)
        viewer.acked = max(viewer.acked, at - control.WINDOW)
        return True

    def _answers(self, viewer: Viewer) -> bool:
        """Is its terminal the one that answers what the pod asks of its own?"""
        return next((v for v in self.all if not v.read_only), viewer) is viewer

    def has_room(self) -> bool:
        """False while the ring may not outrun somebody who keeps up."""
        limit = self._ring.limit // 2
        here = [v for v in self.all if not v.arrives]
        return not any(self._ring.end - v.acked > limit and not v.stalled() for v in here)

    def knock(self) -> None:
        """Find out those who died, by sending them nothing."""
        for viewer in list(self.all):
            message = {"id": viewer.request, "stream": b"", "at": viewer.at}
            self._socket.offer(viewer.client, message)

    def has_seen_all(self) -> bool:
        """True when nobody is behind who still keeps up."""
        return all(not v.arrives and (v.acked >= self._ring.end or v.stalled()) for v in self.all)

    def end(self, outcome: Outcome) -> None:
        """Answer every attach with the end of the pod."""
        viewers, self.all = self.all, []
        for viewer in viewers:
            message = {"id": viewer.request, "ok": True, "outcome": outcome.to_dict()}
            self._socket.send(viewer.client, message)

"""The supervisor's end of the control socket: requests come in, messages go out (see control.py).

Belongs to the coordinator thread. A client that went away is noticed when something is sent to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PodError, WireError, ZaptraceError
from ..limits import CONTROL, REQUESTS_OF_ONE, UNREAD, UNSENT
from ..log import log
from . import control

_TURN = 64
"""Requests taken before others get their turn."""


_TOO_MUCH = PodError(
    "too many requests at a time",
    needed=f"at most {REQUESTS_OF_ONE} that are not answered yet",
    found="one more",
    do="wait for an answer",
    changed="nothing",
)


@dataclass
class Request:
    """A verb that a client asked for."""

    client: bytes
    id: int
    verb: str
    args: dict[str, Any]


class ControlSocket:
    """A bound ROUTER socket."""

    def __init__(self, path: Path, lost: Callable[[bytes], None]) -> None:
        """Bind at `path`; `lost(client)` is called for one that went away."""
        import zmq

        self._zmq = zmq
        self._lost = lost
        self._open: Counter[bytes] = Counter()
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a client that left is an error we see
        self.socket.setsockopt(zmq.SNDHWM, UNSENT)
        self.socket.setsockopt(zmq.RCVHWM, UNREAD)
        self.socket.setsockopt(zmq.MAXMSGSIZE, CONTROL.bytes)
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.socket.bind(f"ipc://{path}")

    def requests(self) -> Iterator[Request]:
        """What has come in; rubbish is answered with an error here."""
        for _ in range(_TURN):
            try:
                client, *rest = self.socket.recv_multipart(self._zmq.NOBLOCK)
            except self._zmq.Again:
                return
            if not rest:
                continue
            try:
                message = control.unpack(rest[-1])
            except WireError as e:
                log.warning("ignored a message: %s", e.what)
                self.send(client, {"id": 0, "ok": False, "error": e.to_dict()})
                continue
            number = message.get("id")
            number = number if isinstance(number, int) else 0
            request = Request(client, number, str(message.get("verb")), message)
            if request.verb not in control.ONE_WAY and not self._may_ask(client):
                self.fail(request, _TOO_MUCH)
            else:
                yield request

    def _may_ask(self, client: bytes) -> bool:
        """Counts what it has asked for; `send` counts what was answered."""
        self._open[client] += 1
        return self._open[client] <= REQUESTS_OF_ONE

    def send(self, client: bytes, message: dict[str, Any]) -> None:
        """Send to a client, if it is still there; one that reads nothing counts as gone."""
        if "ok" in message and self._open[client]:
            self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]
        if not self.offer(client, message):
            self._forget(client)

    def _forget(self, client: bytes) -> None:
        self._open.pop(client, None)
        self._lost(client)

    def offer(self, client: bytes, message: dict[str, Any]) -> bool:
        """The same, for what can be sent later: False when too much waits for it already."""
        try:
            self.socket.send_multipart([client, control.pack(message)], self._zmq.NOBLOCK)
        except self._zmq.Again:
            return False
        except self._zmq.ZMQError:
            self._forget(client)
        return True

    def reply(self, request: Request, **results: object) -> None:
        """The last word to a request, a good one."""
        self.send(request.client, {"id": request.id, "ok": True, **results})

    def fail(self, request: Request, error: ZaptraceError) -> None:
        """The last word to a request, an error."""
        self.send(request.client, {"id": request.id, "ok": False, "error": error.to_dict()})

    def close(self) -> None:
        """Returns when what was sent has left."""
        self.socket.close()
        self._context.term()

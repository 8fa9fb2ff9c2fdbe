"""The supervisor's end of the control socket: requests come in, messages go out (see control.py).

Belongs to the coordinator thread. A client that went away is noticed when something is sent to it: so
who waits for an answer is sent a beat every second, by which it knows, too, that we are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import WireError, ZaptraceError
from ..log import log
from . import control

_TURN = 64
"""Requests taken before others get their turn."""
_LASTING = ("wait", "attach")
"""They may be under way as long as the pod lives: no beats for them."""


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
        self._waiting: dict[tuple[bytes, int], Request] = {}
        self._beat_at = 0.0
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a client that left is an error we see
        self.socket.setsockopt(zmq.SNDHWM, 0)  # bounded by control.WINDOW per client instead
        self.socket.setsockopt(zmq.MAXMSGSIZE, control.MESSAGE_MAX)
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
            if number and request.verb not in _LASTING:
                self._waiting[client, number] = request
            yield request

    def beat(self) -> float | None:
        """Send beats, if it is time; in how many seconds it will be, None when nobody waits."""
        if not self._waiting:
            return None
        left = self._beat_at + control.BEAT_S - time.monotonic()
        if left > 0:
            return left
        self._beat_at = time.monotonic()
        for client, number in list(self._waiting):
            self.send(client, {"id": number, "beat": True})
        return control.BEAT_S

    def send(self, client: bytes, message: dict[str, Any]) -> None:
        """Send to a client, if it is still there."""
        try:
            self.socket.send_multipart([client, control.pack(message)], self._zmq.NOBLOCK)
        except self._zmq.ZMQError:
            for waiting in [key for key in self._waiting if key[0] == client]:
                del self._waiting[waiting]
            self._lost(client)

    def reply(self, request: Request, **results: object) -> None:
        """The last word to a request, a good one."""
        self._waiting.pop((request.client, request.id), None)
        self.send(request.client, {"id": request.id, "ok": True, **results})

    def fail(self, request: Request, error: ZaptraceError) -> None:
        """The last word to a request, an error."""
        self._waiting.pop((request.client, request.id), None)
        self.send(request.client, {"id": request.id, "ok": False, "error": error.to_dict()})

    def close(self) -> None:
        """Returns when what was sent has left."""
        self.socket.close()
        self._context.term()

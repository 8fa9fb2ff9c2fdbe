"""The supervisor's end of the control socket: requests come in, messages go out (see control.py).

Belongs to the coordinator thread. A client that went away is noticed when something is sent to it: so
who waits for an answer is sent a beat every second, by which it knows, too, that we are there.

ZeroMQ is loaded when the first client comes: most pods never see one, start without it, and stay
smaller. Until then the coordinator listens at the socket itself, and then hands it over.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import Counter

from ..errors import PodError, WireError, ZaptraceError
from ..limits import CONTROL, REQUESTS_OF_ONE, UNREAD, UNSENT
from ..log import log
from ..record import Record
from . import control

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    import zmq

    from ..linux.private import StrPath

_BACKLOG = 64
_TURN = 64
"""Requests taken before others get their turn."""
_LASTING = ("wait", "attach")
"""They may be under way as long as the pod lives: no beats for them."""


_TOO_MUCH = PodError(
    "too many requests at a time",
    needed=f"at most {REQUESTS_OF_ONE} that are not answered yet",
    found="one more",
    do="wait for an answer",
    changed="nothing",
)


class Request(Record):
    """A verb that a client asked for."""

    client: bytes
    id: int
    verb: str
    args: dict[str, Any]


class Poller:
    """What one turn of the coordinator waits for: requests, and whatever else is added."""

    def __init__(self, requests: socket.socket | zmq.Socket[bytes]) -> None:
        self._poll: select.poll | zmq.Poller
        if isinstance(requests, socket.socket):
            self._poll = select.poll()
            self._in, self._out = select.POLLIN, select.POLLOUT
        else:  # only its own poll sees if there are messages
            import zmq

            self._poll = zmq.Poller()
            self._in, self._out = int(zmq.POLLIN), int(zmq.POLLOUT)
        self._poll.register(requests, self._in)

    def add(self, fd: int, *, read: bool = True, write: bool = False) -> None:
        """Wait for this descriptor as well."""
        if events := self._in * read | self._out * write:
            self._poll.register(fd, events)

    def wait(self, timeout_ms: int | None) -> set[object]:
        """The descriptors with something to do, perhaps none."""
        return {ready for ready, _ in self._poll.poll(timeout_ms)}


class ControlSocket:
    """Listens at `path`; a ROUTER socket from the first client on."""

    def __init__(self, path: StrPath, lost: Callable[[bytes], None]) -> None:
        """Bind at `path`; `lost(client)` is called for one that went away."""
        self._path = os.fspath(path)
        self._lost = lost
        self._waiting: dict[tuple[bytes, int], Request] = {}
        self._beat_at = 0.0
        self._asked: Counter[bytes] = Counter()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(self._path)
        os.chmod(path, 0o600)
        self._listener.listen(_BACKLOG)
        self._router: zmq.Socket[bytes] | None = None

    def poller(self) -> Poller:
        """A new poller that wakes when there may be requests."""
        return Poller(self._router or self._listener)

    def _open(self) -> zmq.Socket[bytes]:
        import zmq

        self._zmq = zmq
        self._context = zmq.Context()
        router = self._router = self._context.socket(zmq.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a client that left is an error we see
        router.setsockopt(zmq.SNDHWM, UNSENT)
        router.setsockopt(zmq.RCVHWM, UNREAD)
        router.setsockopt(zmq.MAXMSGSIZE, CONTROL.bytes)
        router.setsockopt(zmq.LINGER, 1000)
        router.setsockopt(zmq.USE_FD, self._listener.detach())  # closed by it
        router.bind(f"ipc://{self._path}")
        return router

    def _is_called(self) -> bool:
        """Is a client waiting to be let in?"""
        return bool(select.select([self._listener], [], [], 0)[0])

    def requests(self) -> Iterator[Request]:
        """What has come in; rubbish is answered with an error here."""
        if self._router is None and not self._is_called():
            return
        router = self._router or self._open()
        for _ in range(_TURN):
            try:
                client, *rest = router.recv_multipart(self._zmq.NOBLOCK)
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
                continue
            if number and request.verb not in _LASTING:
                self._waiting[client, number] = request
            yield request

    def _may_ask(self, client: bytes) -> bool:
        """Counts what it has asked for; `send` counts what was answered."""
        self._asked[client] += 1
        return self._asked[client] <= REQUESTS_OF_ONE

    def beat(self) -> float | None:
        """Send beats, if it is time; in how many seconds it will be, None when nobody waits."""
        if not self._waiting:
            return None
        left = self._beat_at + control.BEAT_S - time.monotonic()
        if left > 0:
            return left
        self._beat_at = time.monotonic()
        for client, number in list(self._waiting):
            self.offer(client, {"id": number, "beat": True})
        return control.BEAT_S

    def send(self, client: bytes, message: dict[str, Any]) -> None:
        """Send to a client, if it is still there; one that reads nothing counts as gone."""
        if "ok" in message and self._asked[client]:
            self._asked[client] -= 1
        if not self._asked[client]:
            del self._asked[client]
        if not self.offer(client, message):
            self._forget(client)

    def _forget(self, client: bytes) -> None:
        self._asked.pop(client, None)
        for waiting in [key for key in self._waiting if key[0] == client]:
            del self._waiting[waiting]
        self._lost(client)

    def offer(self, client: bytes, message: dict[str, Any]) -> bool:
        """The same, for what can be sent later: False when too much waits for it already."""
        assert self._router is not None, "who was heard came in through it"
        try:
            self._router.send_multipart([client, control.pack(message)], self._zmq.NOBLOCK)
        except self._zmq.Again:
            return False
        except self._zmq.ZMQError:
            self._forget(client)
        return True

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
        if self._router is None:
            self._listener.close()
            return
        self._router.close()
        self._context.term()

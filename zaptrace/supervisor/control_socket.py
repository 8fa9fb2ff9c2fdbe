"""The supervisor's end of the control socket: requests come in, messages go out (see control.py).

Belongs to the coordinator thread. Who waits for an answer is sent a beat every second, by which it knows
that we are there. Nothing that clients do is waited for: what they do not read is kept up to a bound, and
where there is no descriptor to let one in, it is tried again a second later.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import select
import socket
import time
from collections import Counter

from ..errors import PodError, WireError, ZaptraceError
from ..limits import CLIENTS, CONTROL, REQUESTS_OF_ONE, UNSENT
from ..log import log
from ..record import Record
from . import control
from .stream import Stream

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..linux.private import StrPath

_BACKLOG = 64
_DEAF_S = 1.0
_LOOK_S = 0.1
_HELD = 4 * CONTROL.bytes
"""Bytes of messages that are not whole yet, of all clients together."""
_LINGER_S = 1.0
_LASTING = ("wait", "attach", "exec")
"""They may be under way as long as the pod lives: no beats for them."""
_SAY_EVERY_S = 10.0


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
    """What one turn of the coordinator waits for."""

    def __init__(self) -> None:
        self._poll = select.poll()

    def add(self, fd: int, *, read: bool = True, write: bool = False) -> None:
        """Wait for this descriptor as well."""
        if events := select.POLLIN * read | select.POLLOUT * write:
            self._poll.register(fd, events)

    def wait(self, timeout_ms: int | None) -> set[int]:
        """The descriptors with something to do, perhaps none."""
        return {ready for ready, _ in self._poll.poll(timeout_ms)}


class ControlSocket:
    """Listens at `path`."""

    def __init__(
        self,
        path: StrPath,
        lost: Callable[[bytes], None],
        before: Callable[[], object] = lambda: None,
        make_place: Callable[[], object] = lambda: None,
    ) -> None:
        """Bind at `path`; `lost(client)` is called for one that went away.

        `before()` is called before the first is let in, again later if it fails for want of files, and
        `make_place()` when what is at `path` is ours no more, before we bind there again.
        """
        self._path = path
        self._make_place = make_place
        self._lost = lost
        self._before: Callable[[], object] | None = before
        self._waiting: dict[tuple[bytes, int], Request] = {}
        self._beat_at = 0.0
        self._asked: Counter[bytes] = Counter()
        self._clients: dict[bytes, Stream] = {}
        self._numbers = itertools.count(1)
        self._deaf_until = 0.0
        self._said_at = 0.0
        self._look_at = time.monotonic() + _LOOK_S
        self._listener = self._listen()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(os.fspath(self._path))
            os.chmod(self._path, 0o600)
            listener.listen(_BACKLOG)
            self._file = os.lstat(self._path)
        except BaseException:
            listener.close()
            raise
        return listener

    def _look(self) -> None:
        """Is it there still? Looked at when there is something to do: who misses us sends SIGCONT."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_S
        try:
            if os.path.samestat(os.lstat(self._path), self._file):
                return
        except OSError:
            pass
        try:
            self._make_place()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            fresh = self._listen()
        except (OSError, ZaptraceError) as error:
            self._say("nobody can find us, and the socket cannot be made again: %s", error)
        else:
            self._listener.close()
            self._listener = fresh
            log.warning("the control socket was taken away, and is there again")

    def poller(self) -> Poller:
        """A new poller that wakes when there may be requests, or room for answers."""
        poller = Poller()
        if self._deaf_for() <= 0:
            poller.add(self._listener.fileno())
        for stream in self._clients.values():
            poller.add(stream.fileno(), write=stream.unsent > 0)
        return poller

    def pid_of(self, client: bytes) -> int:
        """Of the process that has connected, which may have ended; 0 for one that is gone."""
        if (stream := self._clients.get(client)) is None:
            return 0
        return stream.pid

    def take_fds(self, client: bytes) -> list[int]:
        """The descriptors that have come from it; they are the caller's."""
        stream = self._clients.get(client)
        return stream.take_fds() if stream is not None else []

    def requests(self) -> Iterator[Request]:
        """What has come in; rubbish is answered with an error here."""
        for client, stream in list(self._clients.items()):
            stream.flush()
            stream.read()
            yield from self._requests_of(client, stream)
            if client in self._clients and (stream.ended or self._holds_too_much()):
                self._forget(client)
        self._let_in()  # last, when those that are gone have made room; it is heard in the next turn

    def _requests_of(self, client: bytes, stream: Stream) -> Iterator[Request]:
        while client in self._clients:
            try:
                if (frame := stream.take()) is None:
                    return
            except WireError as e:
                self._refuse(client, e)
                self._forget(client)
                return
            try:
                message = control.unpack(frame)
            except WireError as e:
                self._refuse(client, e)
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

    def _refuse(self, client: bytes, error: ZaptraceError) -> None:
        log.warning("ignored a message: %s", error.what)
        self.send(client, {"id": 0, "ok": False, "error": error.to_dict()})

    def _let_in(self) -> None:
        while self._deaf_for() <= 0:
            try:
                if self._before is not None:
                    if not self._is_called():
                        return
                    self._before()
                    self._before = None
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except (OSError, ImportError) as e:
                self._deaf_until = time.monotonic() + _DEAF_S
                self._say("nobody can be let in now: %s", e)
                return
            client = next(self._numbers).to_bytes(8, "big")
            self._clients[client] = Stream(sock)
            if len(self._clients) > (most := _most_clients()):
                self._say("clients are turned away: %d are the most", most)
                self.offer(client, {"id": 0, "ok": False, "error": _too_many(most).to_dict()})
                self._forget(client)

    def _is_called(self) -> bool:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        return bool(poller.poll(0))

    def _deaf_for(self) -> float:
        return self._deaf_until - time.monotonic()

    def _say(self, what: str, why: object) -> None:
        if time.monotonic() - self._said_at >= _SAY_EVERY_S:
            self._said_at = time.monotonic()
            log.warning(what, why)

    def _holds_too_much(self) -> bool:
        return sum(stream.held for stream in self._clients.values()) > _HELD

    def _may_ask(self, client: bytes) -> bool:
        """Counts what it has asked for; `send` counts what was answered."""
        self._asked[client] += 1
        return self._asked[client] <= REQUESTS_OF_ONE

    def beat(self) -> float | None:
        """Send beats, if it is time; in how many seconds to call again, None when nobody waits."""
        self._look()
        deaf = self._deaf_for()
        if not self._waiting:
            return deaf if deaf > 0 else None
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
        if (stream := self._clients.pop(client, None)) is not None:
            stream.close()
        self._asked.pop(client, None)
        for waiting in [key for key in self._waiting if key[0] == client]:
            del self._waiting[waiting]
        self._lost(client)

    def offer(self, client: bytes, message: dict[str, Any]) -> bool:
        """The same, for what can be sent later: False when too much waits for it already."""
        stream = self._clients.get(client)
        if stream is None:
            return True
        if stream.unsent >= UNSENT:
            return False
        stream.put(control.pack(message))
        if stream.ended:
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
        """Returns when what was sent has left, or is not taken."""
        until = time.monotonic() + _LINGER_S
        while (left := until - time.monotonic()) > 0:
            poller = select.poll()
            late = [stream for stream in self._clients.values() if not stream.flush()]
            if not late:
                break
            for stream in late:
                poller.register(stream.fileno(), select.POLLOUT)
            poller.poll(left * 1000)
        self._listener.close()
        for stream in self._clients.values():
            stream.close()
        self._clients.clear()


def _most_clients() -> int:
    """CLIENTS, or half of the descriptors that we may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CLIENTS if soft == resource.RLIM_INFINITY else min(CLIENTS, soft // 2)


def _too_many(most: int) -> PodError:
    return PodError(
        "too many clients at a time",
        needed=f"at most {most}",
        found="one more",
        do="try again when some of them are done",
        changed="nothing",
    )

"""A conversation with another host: messages, flow control, and how it ends.

A message is one or two frames: a msgpack map with "kind" and further fields, and raw data. Some
kinds are the wire's own:

    hello    {protocol, window}    first in both directions; window: bytes that may be on the way
    credit   {bytes}               so many bytes were taken out of the inbox
    ping     {}                    every `Timeouts.ping` seconds without another message
    error    {error}               the other side gave up, and why: ZaptraceError.to_dict
    bye      {}                    an orderly end

A connection is one conversation: it is never silently made anew, so whoever has a `Channel` knows
that nothing was lost on the way, or gets PeerGone.

Flow control: every other message costs its bytes (at most one window) of the credit that its
receiver gave; a sender without credit waits. So neither side ever holds more than a window of the
other's messages, however slow it is at taking them.

Threads: a socket belongs to one `Hub` thread. `Channel.send` hands a message over with a deque and
an eventfd, the hub puts what arrives into the channel's inbox. A channel is used by one thread at a
time. Lock order: only a channel's condition, never two.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import zmq

from .. import plain
from ..errors import PeerGone, WireError, WireTimeout, ZaptraceError
from ..limits import DATA, HEAD, WINDOW
from ..log import unforeseen

T = TypeVar("T")

_OVERHEAD = 64
"""What a message costs beside its bytes, so that empty ones have to be paid for, too."""
_LINGER_MS = 2000


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds, for what."""

    connect: float = 10.0
    """For the server, and its hello."""
    ping: float = 1.0
    """Between signs of life."""
    silence: float = 15.0
    """Without a sign of life until the other side counts as gone."""
    answer: float = 60.0
    """For an answer that takes no work, or for credit."""
    work: float = 600.0
    """For an answer that takes work: capturing, verifying, restoring."""
    doubt: float = 120.0
    """A destination that is whole waits so long for a source that fell silent (see migration/)."""
    retry: float = 60.0
    """A source that has committed tries so long to say so; less than `doubt`."""


@dataclass(frozen=True)
class Message:
    """What `Channel.recv` returns."""

    kind: str
    fields: dict[str, Any]
    data: memoryview = field(default=memoryview(b""), repr=False)
    """The raw bytes; good until the next `recv`."""

    def get(self, name: str, kind: type[T]) -> T:
        """The field `name`, which has to be a `kind`; WireError otherwise."""
        value = self.fields.get(name)
        if type(value) is not kind:
            raise WireError(
                f"a {self.kind!r} message from the other side makes no sense",
                needed=f"{name}: {kind.__name__}",
                found=f"{name}: {type(value).__name__}",
            )
        return value


@dataclass(frozen=True)
class _Waiting:
    """A message in an inbox. Its map is made into fields only when it is taken out: as bytes it is
    what was paid for, as fields it may be many times that."""

    kind: str
    head: memoryview
    data: memoryview
    cost: int

    def open(self) -> Message:
        fields = plain.loads(self.head, HEAD)
        return Message(fields.pop("kind"), fields, self.data)


class Channel:
    """One end of a conversation."""

    def __init__(self, hub: Hub, route: bytes, peer: str, window: int, timeouts: Timeouts) -> None:
        self.peer = peer
        """The other side, for people."""
        self.timeouts = timeouts
        self._hub = hub
        self._route = route
        self._window = window
        self._changed = threading.Condition()
        self._inbox: deque[_Waiting] = deque()
        self._inbox_cost = 0
        self._credit = window
        self._end: ZaptraceError | None = None
        self._interrupt: ZaptraceError | None = None
        self._taken = 0  # bytes out of the inbox that no credit was given for yet
        self._last = 0  # cost of the message that our user still looks at

    def send(self, kind: str, data: bytes = b"", **fields: Any) -> None:
        """Send a message; waits for credit. `data` must not change afterwards.

        Raises PeerGone, WireTimeout, or the error that the other side gave up with.
        """
        head = plain.dumps({"kind": kind, **fields})
        if len(head) > HEAD.bytes or len(data) > DATA or _is_too_much(head):
            raise WireError(
                f"cannot send a {kind!r} message: it is too big",
                needed=f"at most {HEAD.bytes} and {DATA} bytes, and {HEAD.values} values",
                found=f"{len(head)} and {len(data)} bytes",
            )
        cost = _cost(len(head), len(data), self._window)
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._is_over() or self._credit >= cost, self.timeouts.answer
            ):
                raise WireTimeout(
                    f"{self.peer} takes no more",
                    needed="that it goes on reading",
                    found=f"nothing read for {self.timeouts.answer:g} s",
                )
            self._raise_interrupt()
            if self._end is not None:
                raise self._end
            self._credit -= cost
        self._hub.post(self._route, [head, data] if data else [head])

    def recv(self, *kinds: str, timeout: float | None = None) -> Message:
        """The next message, which has to be one of `kinds`; waits `timeout` (default: .answer) s.

        Raises PeerGone, WireTimeout, or the error that the other side gave up with.
        """
        timeout = self.timeouts.answer if timeout is None else timeout
        with self._changed:
            self._taken += self._last
            self._last = 0
            if self._taken and (not self._inbox or self._taken >= WINDOW // 4):
                self._hub.post(self._route, [plain.dumps({"kind": "credit", "bytes": self._taken})])
                self._taken = 0
            if not self._changed.wait_for(lambda: self._inbox or self._is_over(), timeout):
                raise WireTimeout(
                    f"{self.peer} does not answer",
                    needed=" or ".join(kinds),
                    found=f"nothing for {timeout:g} s, though the connection is there",
                )
            self._raise_interrupt()
            if not self._inbox:
                assert self._end is not None
                raise self._end
            message = self._inbox.popleft()
            self._inbox_cost -= message.cost
            self._last = message.cost
        if message.kind not in kinds:
            raise WireError(
                f"{self.peer} says something else than expected",
                needed=" or ".join(kinds),
                found=repr(message.kind[:40]),
            )
        return message.open()

    def interrupt(self, error: ZaptraceError | None) -> None:
        """Have the wait that our user is in, or its next one, raise `error`. From any thread.

        None takes back what nobody has met yet."""
        with self._changed:
            self._interrupt = error
            self._changed.notify_all()

    def _is_over(self) -> bool:
        return self._end is not None or self._interrupt is not None

    def _raise_interrupt(self) -> None:
        error, self._interrupt = self._interrupt, None
        if error is not None:
            raise error

    def fail(self, error: ZaptraceError) -> None:
        """Tell the other side that we gave up, and why. The conversation is over."""
        self._hub.post(self._route, [plain.dumps({"kind": "error", "error": error.to_dict()})])
        self._finish(PeerGone("this conversation is over", found=error.what))

    @property
    def gone(self) -> bool:
        """True when nothing can be sent any more."""
        with self._changed:
            return self._end is not None

    def close(self) -> None:
        """An orderly end. Never fails, and does nothing the second time."""
        with self._changed:
            ended = self._end is not None
        if not ended:
            self._hub.post(self._route, [plain.dumps({"kind": "bye"})])
        self._finish(PeerGone("this conversation is over"))
        self._hub.forget(self._route, self)

    # The hub's side

    def _finish(self, error: ZaptraceError) -> None:
        with self._changed:
            if self._end is None:
                self._end = error
            self._changed.notify_all()

    def _deliver(self, message: _Waiting) -> bool:
        """False when the other side broke the rules of flow control."""
        with self._changed:
            if self._inbox_cost + message.cost > WINDOW:
                return False
            self._inbox.append(message)
            self._inbox_cost += message.cost
            self._changed.notify_all()
        return True

    def _give(self, credit: int) -> None:
        with self._changed:
            self._credit = min(self._credit + credit, self._window)
            self._changed.notify_all()


def _is_too_much(head: bytes) -> bool:
    try:
        plain.values_in(head, HEAD)
    except ValueError:
        return True
    return False


def _cost(head: int, data: int, window: int) -> int:
    return min(head + data + _OVERHEAD, window)


class Hub(threading.Thread):
    """The thread that owns a socket, and shares what arrives out to the channels."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], ours: Timeouts
    ) -> None:
        super().__init__(name="zaptrace-wire", daemon=True)
        self.timeouts = ours
        self.context = context
        self.socket = socket
        self.channels: dict[bytes, Channel] = {}
        self._heard: dict[bytes, float] = {}
        self._said: dict[bytes, float] = {}
        self._posted: deque[tuple[bytes, list[bytes]] | Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self.failed: Exception | None = None
        """What ended the thread before it was to end."""
        self.poller = zmq.Poller()
        self.poller.register(socket, zmq.POLLIN)
        self.poller.register(self._wake, zmq.POLLIN)

    # From any thread

    def post(self, route: bytes, frames: list[bytes]) -> None:
        """Have a message sent, in order; never waits and never fails."""
        self._posted.append((route, frames))
        self._nudge()

    def forget(self, route: bytes, channel: Channel) -> None:
        """`channel` is not used any more."""

        def drop() -> None:
            if self.channels.get(route) is channel:
                self._drop(route)

        self._posted.append(drop)
        self._nudge()

    def stop(self) -> None:
        """Send what is posted, close the socket, end the thread."""
        self._stopping = True
        self._nudge()
        self.join()

    def release(self) -> None:
        """Close the rest, once no thread uses a channel any more. Once more does nothing."""
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def add(self, route: bytes, channel: Channel) -> None:
        """Share out messages of `route` to `channel`. Before `start`, or in the hub's thread."""
        self.channels[route] = channel
        self._heard[route] = self._said[route] = time.monotonic()

    def _nudge(self) -> None:
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    # In the hub's thread

    def run(self) -> None:
        """The loop."""
        try:
            while not self._stopping:
                ready = dict(self.poller.poll(int(self.timeouts.ping * 500)))
                if self._wake in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._wake)
                if self.socket in ready:
                    self.receive()
                self.also(ready)
                self._post_all()
                self._tick()
            self._post_all()
        except Exception as e:
            self.failed = unforeseen("go on with the wire", e)
        finally:
            for channel in list(self.channels.values()):
                channel._finish(PeerGone("the conversation was closed on this side"))
            self.close_sockets()
            if self.failed is not None:
                self.has_failed()

    def has_failed(self) -> None:
        """Whoever lives by this thread has to know that it is no more."""

    def also(self, ready: dict[Any, int]) -> None:
        """Whatever else there is to poll."""

    def close_sockets(self) -> None:
        """In the end, or when the beginning failed."""
        self.socket.close(linger=_LINGER_MS)
        self.context.term()

    def _post_all(self) -> None:
        while self._posted:
            todo = self._posted.popleft()
            if callable(todo):
                todo()
            else:
                self.transmit(*todo)

    def transmit(self, route: bytes, frames: list[bytes]) -> None:
        """Send a message now."""
        try:
            addressed = [route, *frames] if route else frames
            self.socket.send_multipart(addressed, flags=zmq.DONTWAIT, copy=False)
            if route in self.channels:
                self._said[route] = time.monotonic()
        except zmq.ZMQError as e:
            self.lose(route, f"the connection is cut ({e.strerror})")

    def receive(self) -> None:
        """Share out what has arrived."""
        # Some at a time, so that credit and pings are never far behind.
        for _ in range(16):
            try:
                frames = self.socket.recv_multipart(flags=zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            route = b"" if self.socket.type == zmq.DEALER else frames.pop(0).bytes
            try:
                self._dispatch(route, frames)
            except ValueError as e:
                self.lose(route, f"it sent what is no message: {e}")
            except Exception as e:  # ours, and yet no reason to be deaf to all others
                unforeseen("understand a message", e)
                self.lose(route, "its message could not be understood")

    def _dispatch(self, route: bytes, frames: list[zmq.Frame]) -> None:
        kind, fields, head, data = decode(frames)
        channel = self.channels.get(route)
        if channel is None:
            self.stranger(route, kind, fields, frames)
            return
        self._heard[route] = time.monotonic()
        if kind == "credit":
            channel._give(natural(fields, "bytes"))
        elif kind == "error":
            channel._finish(told(fields, channel.peer))
        elif kind == "bye":
            self.lose(route, "it ended the conversation")
        elif kind == "hello":
            raise ValueError("a second hello")
        elif kind != "ping":
            cost = _cost(len(head), len(data), WINDOW)
            if not channel._deliver(_Waiting(kind, head, data, cost)):
                raise ValueError("it sends more than it may")

    def stranger(
        self, route: bytes, kind: str, fields: dict[str, Any], frames: list[zmq.Frame]
    ) -> None:
        """A message of a conversation that is not there (any more)."""

    def _tick(self) -> None:
        now = time.monotonic()
        for route in list(self.channels):
            if now - self._heard[route] > self.timeouts.silence:
                self.lose(route, f"no sign of life for {self.timeouts.silence:g} s")
            elif now - self._said[route] > self.timeouts.ping:
                self.transmit(route, [_PING])

    def lose(self, route: bytes, why: str) -> None:
        """The other side at `route` is gone: end its channel."""
        channel = self.channels.get(route)
        if channel is not None:
            channel._finish(
                PeerGone(
                    f"{channel.peer} went away", needed="a connection until the end", found=why
                )
            )
        self._drop(route)

    def _drop(self, route: bytes) -> None:
        for table in (self.channels, self._heard, self._said):
            table.pop(route, None)


_PING = plain.dumps({"kind": "ping"})


def decode(frames: list[zmq.Frame]) -> tuple[str, dict[str, Any], memoryview, memoryview]:
    """kind, fields, the map that both are of, and data. ValueError for what is no message."""
    if not 1 <= len(frames) <= 2:
        raise ValueError(f"{len(frames)} frames")
    head = frames[0].buffer
    fields = plain.loads(head, HEAD)
    if type(fields) is not dict or type(fields.get("kind")) is not str:
        raise ValueError("a map without a kind")
    data = frames[1].buffer if len(frames) == 2 else memoryview(b"")
    if len(data) > DATA:
        raise ValueError(f"{len(data)} bytes of data")
    return fields.pop("kind"), fields, head, data


def natural(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is no number")
    return value


def told(fields: dict[str, Any], peer: str) -> ZaptraceError:
    """The error that the other side gave up with."""
    error = fields.get("error")
    if type(error) is not dict or not all(type(k) is str for k in error):
        return WireError(f"{peer} gave up without a reason")
    told = ZaptraceError.from_dict(error)
    told.add_note(f"said by {peer}")
    return told

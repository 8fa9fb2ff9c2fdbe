"""Conversations between hosts: ZeroMQ with CURVE keys, messages, flow control, and how they end.

One side listens (a ROUTER socket), the other connects (a DEALER); after that both have a `Channel`
with the same `send` and `recv`. A connection is one conversation: it is never silently made anew,
so whoever has a channel knows that nothing was lost on the way, or gets PeerGone.

A message is one or two frames: a msgpack map with "kind" and further fields, and raw data. Some
kinds are the wire's own:

    hello    {protocol, window}    first in both directions; window: bytes that may be on the way
    credit   {bytes}               so many bytes were taken out of the inbox
    ping     {}                    every `Timeouts.ping` seconds without another message
    error    {error}               the other side gave up, and why: ZaptraceError.to_plain
    bye      {}                    an orderly end

    connecting side                           listening side
        │   CURVE: the server proves its key; ZAP asks `authorize` about the client's
        ├── hello {protocol 1} ──────────────►│ another protocol: error PeerVersionError, end
        │◄────────────── hello {window 16 MiB}┤ `accept(channel)` runs in a thread of its own
        │   ...                               │
        ├── bye ─────────────────────────────►│

Flow control: every other message costs its bytes (at most one window) of the credit that its
receiver gave; a sender without credit waits. So neither side ever holds more than a window of the
other's messages, however slow it is at taking them.

Threads: a socket belongs to one `_Hub` thread. `Channel.send` hands a message over with a deque and
an eventfd, the hub puts what arrives into the channel's inbox. A channel is used by one thread at a
time. Lock order: only a channel's condition, never two.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from . import plain
from .errors import HostError, PeerGone, PeerVersionError, WireError, WireTimeout, ZaptraceError
from .keys import Identity, host_of
from .log import log

PROTOCOL = 1
WINDOW = 16 << 20
"""Bytes that may be on the way to us, in one conversation."""
MAX_DATA = 1 << 20
"""Most bytes of a data frame."""
MAX_HEAD = 64 << 20
"""Most bytes of a message's map; the list of a big pod's files or parts is some MiB."""
MAX_CONVERSATIONS = 64

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
    """A destination that is whole waits so long for a source that fell silent (see migrate.py)."""
    retry: float = 60.0
    """A source that has committed tries so long to say so; less than `doubt`."""


@dataclass(frozen=True)
class Message:
    """What `Channel.recv` returns."""

    kind: str
    fields: dict[str, Any]
    data: memoryview = field(default=memoryview(b""), repr=False)
    """The raw bytes; good until the next `recv`."""
    cost: int = 0

    def get(self, name: str, kind: type) -> Any:
        """The field `name`, which has to be a `kind`; WireError otherwise."""
        value = self.fields.get(name)
        if type(value) is not kind:
            raise WireError(
                f"a {self.kind!r} message from the other side makes no sense",
                needed=f"{name}: {kind.__name__}",
                found=f"{name}: {type(value).__name__}",
            )
        return value


class Channel:
    """One end of a conversation."""

    def __init__(self, hub: _Hub, route: bytes, peer: str, window: int, timeouts: Timeouts) -> None:
        self.peer = peer
        """The other side, for people."""
        self.timeouts = timeouts
        self._hub = hub
        self._route = route
        self._window = window
        self._changed = threading.Condition()
        self._inbox: deque[Message] = deque()
        self._inbox_cost = 0
        self._credit = window
        self._end: ZaptraceError | None = None
        self._taken = 0  # bytes out of the inbox that no credit was given for yet
        self._last = 0  # cost of the message that our user still looks at

    def send(self, kind: str, data: bytes = b"", **fields: Any) -> None:
        """Send a message; waits for credit. `data` must not change afterwards.

        Raises PeerGone, WireTimeout, or the error that the other side gave up with.
        """
        head = plain.dumps({"kind": kind, **fields})
        if len(head) > MAX_HEAD or len(data) > MAX_DATA:
            raise WireError(
                f"cannot send a {kind!r} message: it is too big",
                needed=f"at most {MAX_HEAD} and {MAX_DATA} bytes",
                found=f"{len(head)} and {len(data)} bytes",
            )
        cost = _cost(len(head), len(data), self._window)
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._end is not None or self._credit >= cost, self.timeouts.answer
            ):
                raise WireTimeout(
                    f"{self.peer} takes no more",
                    needed="that it goes on reading",
                    found=f"nothing read for {self.timeouts.answer:g} s",
                )
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
            if not self._changed.wait_for(lambda: self._inbox or self._end is not None, timeout):
                raise WireTimeout(
                    f"{self.peer} does not answer",
                    needed=" or ".join(kinds),
                    found=f"nothing for {timeout:g} s, though the connection is there",
                )
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
                found=repr(message.kind),
            )
        return message

    def fail(self, error: ZaptraceError) -> None:
        """Tell the other side that we gave up, and why. The conversation is over."""
        self._hub.post(self._route, [plain.dumps({"kind": "error", "error": error.to_plain()})])
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

    def _deliver(self, message: Message) -> bool:
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


def _cost(head: int, data: int, window: int) -> int:
    return min(head + data + _OVERHEAD, window)


class _Hub(threading.Thread):
    """The thread that owns a socket, and shares what arrives out to the channels."""

    def __init__(self, context: zmq.Context[Any], socket: zmq.Socket[Any], ours: Timeouts) -> None:
        super().__init__(name="zaptrace-wire", daemon=True)
        self.timeouts = ours
        self._context = context
        self._socket = socket
        self._channels: dict[bytes, Channel] = {}
        self._heard: dict[bytes, float] = {}
        self._said: dict[bytes, float] = {}
        self._posted: deque[tuple[bytes, list[bytes]] | Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._wake, zmq.POLLIN)

    # From any thread

    def post(self, route: bytes, frames: list[bytes]) -> None:
        """Have a message sent, in order; never waits and never fails."""
        self._posted.append((route, frames))
        self._nudge()

    def forget(self, route: bytes, channel: Channel) -> None:
        """`channel` is not used any more."""

        def drop() -> None:
            if self._channels.get(route) is channel:
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
        self._channels[route] = channel
        self._heard[route] = self._said[route] = time.monotonic()

    def _nudge(self) -> None:
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    # In the hub's thread

    def run(self) -> None:
        """The loop."""
        try:
            while not self._stopping:
                ready = dict(self._poller.poll(self.timeouts.ping * 500))
                if self._wake in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._wake)
                if self._socket in ready:
                    self._receive()
                self._also(ready)
                self._post_all()
                self._tick()
            self._post_all()
        except Exception:
            log.exception("the wire failed")
        finally:
            for channel in list(self._channels.values()):
                channel._finish(PeerGone("the conversation was closed on this side"))
            self._close()

    def _also(self, ready: dict[Any, int]) -> None:
        """Whatever else there is to poll."""

    def _close(self) -> None:
        self._socket.close(linger=_LINGER_MS)
        self._context.term()

    def _post_all(self) -> None:
        while self._posted:
            todo = self._posted.popleft()
            if callable(todo):
                todo()
            else:
                self._transmit(*todo)

    def _transmit(self, route: bytes, frames: list[bytes]) -> None:
        try:
            addressed = [route, *frames] if route else frames
            self._socket.send_multipart(addressed, flags=zmq.DONTWAIT, copy=False)
            if route in self._channels:
                self._said[route] = time.monotonic()
        except zmq.ZMQError as e:
            self._lose(route, f"the connection is cut ({e.strerror})")

    def _receive(self) -> None:
        # Some at a time, so that credit and pings are never far behind.
        for _ in range(16):
            try:
                frames = self._socket.recv_multipart(flags=zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            route = b"" if self._socket.type == zmq.DEALER else frames.pop(0).bytes
            try:
                self._dispatch(route, frames)
            except ValueError as e:
                self._lose(route, f"it sent what is no message: {e}")

    def _dispatch(self, route: bytes, frames: list[zmq.Frame]) -> None:
        kind, fields, data, size = _decode(frames)
        channel = self._channels.get(route)
        if channel is None:
            self._stranger(route, kind, fields, frames)
            return
        self._heard[route] = time.monotonic()
        if kind == "credit":
            channel._give(_natural(fields, "bytes"))
        elif kind == "error":
            channel._finish(_told(fields, channel.peer))
        elif kind == "bye":
            self._lose(route, "it ended the conversation")
        elif kind == "hello":
            raise ValueError("a second hello")
        elif kind != "ping":
            cost = _cost(size, len(data), WINDOW)
            if not channel._deliver(Message(kind, fields, data, cost)):
                raise ValueError("it sends more than it may")

    def _stranger(
        self, route: bytes, kind: str, fields: dict[str, Any], frames: list[zmq.Frame]
    ) -> None:
        """A message of a conversation that is not there (any more)."""

    def _tick(self) -> None:
        now = time.monotonic()
        for route in list(self._channels):
            if now - self._heard[route] > self.timeouts.silence:
                self._lose(route, f"no sign of life for {self.timeouts.silence:g} s")
            elif now - self._said[route] > self.timeouts.ping:
                self._transmit(route, [_PING])

    def _lose(self, route: bytes, why: str) -> None:
        channel = self._channels.get(route)
        if channel is not None:
            channel._finish(
                PeerGone(
                    f"{channel.peer} went away", needed="a connection until the end", found=why
                )
            )
        self._drop(route)

    def _drop(self, route: bytes) -> None:
        for table in (self._channels, self._heard, self._said):
            table.pop(route, None)


_PING = plain.dumps({"kind": "ping"})


def _decode(frames: list[zmq.Frame]) -> tuple[str, dict[str, Any], memoryview, int]:
    """kind, fields, data and size of the map. ValueError for what is no message."""
    if not 1 <= len(frames) <= 2:
        raise ValueError(f"{len(frames)} frames")
    head = frames[0].buffer
    fields = plain.loads(head)
    if type(fields) is not dict or type(fields.get("kind")) is not str:
        raise ValueError("a map without a kind")
    data = frames[1].buffer if len(frames) == 2 else memoryview(b"")
    if len(data) > MAX_DATA:
        raise ValueError(f"{len(data)} bytes of data")
    return fields.pop("kind"), fields, data, len(head)


def _natural(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is no number")
    return value


def _told(fields: dict[str, Any], peer: str) -> ZaptraceError:
    """The error that the other side gave up with."""
    error = fields.get("error")
    if type(error) is not dict or not all(type(k) is str for k in error):
        return WireError(f"{peer} gave up without a reason")
    told = ZaptraceError.from_plain(error)
    told.add_note(f"said by {peer}")
    return told


# The connecting side


class _Caller(_Hub):
    """The hub of a DEALER; ends its channel as soon as the connection is cut."""

    def __init__(
        self,
        context: zmq.Context[Any],
        socket: zmq.Socket[Any],
        monitor: zmq.Socket[Any],
        ours: Timeouts,
    ) -> None:
        super().__init__(context, socket, ours)
        self._monitor = monitor
        self._poller.register(monitor, zmq.POLLIN)

    def _also(self, ready: dict[Any, int]) -> None:
        if self._monitor in ready:
            event = recv_monitor_message(self._monitor)["event"]
            if event in (zmq.Event.DISCONNECTED, zmq.Event.CLOSED):
                self._receive()  # what came before the cut
                self._lose(b"", "the connection is cut")

    def _close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        super()._close()


@contextlib.contextmanager
def connect(
    endpoint: str, *, identity: Identity, server_key: bytes, timeouts: Timeouts | None = None
) -> Iterator[Channel]:
    """A conversation with the server at `endpoint` (tcp://host:port), which must hold `server_key`.

    Raises WireError when there is none, or it does not let us in; PeerVersionError.
    """
    timeouts = timeouts or Timeouts()
    host = host_of(endpoint)
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    _prepare(socket, timeouts)
    socket.curve_publickey = z85.encode(identity.public)
    socket.curve_secretkey = z85.encode(identity.secret)
    socket.curve_serverkey = z85.encode(server_key)
    socket.reconnect_ivl = -1
    monitor = socket.get_monitor_socket()
    hub = _Caller(context, socket, monitor, timeouts)
    try:
        socket.connect(endpoint)
        _wait_connected(monitor, host, identity, timeouts.connect)
        window = _greet(socket, host, timeouts.connect)
        channel = Channel(hub, b"", host, window, timeouts)
        hub.add(b"", channel)
    except BaseException:
        hub._close()
        hub.release()
        raise
    hub.start()
    try:
        yield channel
    finally:
        channel.close()
        hub.stop()
        hub.release()


def _prepare(socket: zmq.Socket[Any], timeouts: Timeouts) -> None:
    socket.ipv6 = True
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 0  # bounded by credit
    socket.maxmsgsize = MAX_HEAD
    socket.handshake_ivl = int(timeouts.connect * 1000)
    # Frees sockets whose other end is unplugged; the conversation itself knows by its own pings.
    socket.heartbeat_ivl = int(timeouts.ping * 2000)
    socket.heartbeat_timeout = int(timeouts.silence * 1000)


def _wait_connected(
    monitor: zmq.Socket[Any], host: str, identity: Identity, timeout: float
) -> None:
    until = time.monotonic() + timeout
    connected = False
    while monitor.poll(max(0, int((until - time.monotonic()) * 1000))):
        event = recv_monitor_message(monitor)["event"]
        if event == zmq.Event.HANDSHAKE_SUCCEEDED:
            return
        if event == zmq.Event.CONNECTED:
            connected = True
        elif event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            raise WireError(
                f"{host} does not let us in",
                needed="our key in its authorized_hosts",
                found="it does not know our key",
                do="add this line to ~/.config/zaptrace/authorized_hosts on that host:"
                f"\n           {identity.line}",
                changed="nothing",
            )
        elif connected and event in (
            zmq.Event.DISCONNECTED,
            zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
            zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
        ):
            raise WireError(
                f"{host} is not who we take it for",
                needed="a host server that holds the key we know for it",
                found="something that cannot answer to that key",
                do="give the key that zaptrace serve prints there: --key zap-...",
                changed="nothing",
            )
        elif event == zmq.Event.CLOSED:
            raise WireError(
                f"cannot reach {host}",
                needed="a host server there",
                found="nothing that accepts connections",
                do="run zaptrace serve there, on an address that this host can reach",
                changed="nothing",
            )
    raise WireTimeout(
        f"cannot reach {host}",
        needed="a host server there",
        found=f"no {'handshake' if connected else 'connection'} within {timeout:g} s",
        do="run zaptrace serve there, on an address that this host can reach",
        changed="nothing",
    )


def _greet(socket: zmq.Socket[Any], host: str, timeout: float) -> int:
    """Exchange hellos; returns the other side's window."""
    socket.send(_hello())
    if not socket.poll(int(timeout * 1000)):
        raise WireTimeout(f"{host} does not say hello", found=f"nothing for {timeout:g} s")
    try:
        kind, fields, _, _ = _decode(socket.recv_multipart(copy=False))
        if kind == "error":
            raise _told(fields, host)
        if kind != "hello":
            raise ValueError(kind)
        _check_protocol(fields, host)
        return max(_natural(fields, "window"), 1)
    except ValueError as e:
        raise WireError(f"{host} does not speak our language", found=str(e)) from e


def _hello() -> bytes:
    return plain.dumps({"kind": "hello", "protocol": PROTOCOL, "window": WINDOW})


def _check_protocol(fields: dict[str, Any], peer: str) -> None:
    if fields.get("protocol") != PROTOCOL:
        raise PeerVersionError(
            f"{peer} speaks another protocol",
            needed=f"protocol {PROTOCOL}",
            found=f"protocol {fields.get('protocol')}",
            do="install the same zaptrace on both hosts",
            changed="nothing",
        )


# The listening side


class Listener(_Hub):
    """Accepts conversations at `bind` (tcp://address:port, port * or 0 for any).

    authorize   who holds this public key? None: it may not come in
    accept      called with each new Channel, in a thread of its own; the channel is closed after it
    """

    def __init__(
        self,
        bind: str,
        *,
        identity: Identity,
        authorize: Callable[[bytes], str | None],
        accept: Callable[[Channel], None],
        timeouts: Timeouts | None = None,
    ) -> None:
        timeouts = timeouts or Timeouts()
        host = host_of(bind)
        context: zmq.Context[Any] = zmq.Context()
        # ZAP (rfc.zeromq.org/spec/27): libzmq asks here before it lets anyone in.
        self._zap = context.socket(zmq.REP)
        self._zap.bind("inproc://zeromq.zap.01")
        socket = context.socket(zmq.ROUTER)
        _prepare(socket, timeouts)
        socket.router_mandatory = True
        socket.curve_server = True
        socket.curve_secretkey = z85.encode(identity.secret)
        socket.zap_domain = b"zaptrace"
        super().__init__(context, socket, timeouts)
        self._poller.register(self._zap, zmq.POLLIN)
        self._authorize = authorize
        self._accept = accept
        self._threads: set[threading.Thread] = set()
        try:
            socket.bind(bind.replace(":0", ":*") if host.endswith(":0") else bind)
        except zmq.ZMQError as e:
            self._close()
            self.release()
            raise HostError(
                f"cannot listen on {host}",
                needed="an address of this host with a free port",
                found=e.strerror,
                remedy="choose another with --bind, or end what uses it",
            ) from e
        self.endpoint: str = socket.last_endpoint.rstrip(b"\0").decode()
        """Where we listen, with the real port."""
        self.start()

    def close(self) -> None:
        """Stop listening and end every conversation; waits for their threads."""
        self.stop()
        for thread in list(self._threads):
            thread.join()
        self.release()

    def _close(self) -> None:
        self._zap.close(linger=0)
        super()._close()

    def _also(self, ready: dict[Any, int]) -> None:
        if self._zap in ready:
            self._answer_zap()

    def _answer_zap(self) -> None:
        version, request, _, address, _, mechanism, *credentials = self._zap.recv_multipart()
        name = None
        try:
            if mechanism == b"CURVE" and len(credentials) == 1:
                name = self._authorize(credentials[0])
        except ZaptraceError as e:
            log.error("%s", e)
        status = (b"200", b"OK") if name is not None else (b"400", b"unknown key")
        if name is None:
            log.warning("refused %s: its key is not authorised", address.decode(errors="replace"))
        user = (name or "").encode(errors="replace")[:255]
        self._zap.send_multipart([version, request, *status, user, b""])

    def _stranger(
        self, route: bytes, kind: str, fields: dict[str, Any], frames: list[zmq.Frame]
    ) -> None:
        if kind != "hello":
            return  # late words of a conversation that is over
        address = str(frames[0].get("Peer-Address")).removeprefix("::ffff:")  # IPv4 on a v6 socket
        peer = f"{frames[0].get('User-Id')} ({address})"
        try:
            _check_protocol(fields, "the server")
            if len(self._channels) >= MAX_CONVERSATIONS:
                raise WireError("the server is busy", found=f"{MAX_CONVERSATIONS} conversations")
        except ZaptraceError as e:
            self._transmit(route, [plain.dumps({"kind": "error", "error": e.to_plain()})])
            return
        window = max(_natural(fields, "window"), 1)
        channel = Channel(self, route, peer, window, self.timeouts)
        self.add(route, channel)
        self._transmit(route, [_hello()])
        thread = threading.Thread(target=self._converse, args=(channel,), daemon=True)
        self._threads.add(thread)
        thread.start()

    def _converse(self, channel: Channel) -> None:
        try:
            self._accept(channel)
        except ZaptraceError as e:
            channel.fail(e)
        except Exception as e:
            log.exception("a conversation with %s failed", channel.peer)
            channel.fail(ZaptraceError("the server failed", found=repr(e), do="see its log"))
        finally:
            channel.close()
            self._threads.discard(threading.current_thread())

"""How hosts reach each other: ZeroMQ sockets with CURVE keys.

One side listens (a ROUTER socket), the other connects (a DEALER); after that both have a `Channel`
with the same `send` and `recv`, see channel.py.

    connecting side                           listening side
        │   CURVE: the server proves its key; ZAP asks `authorize` about the client's
        ├── hello {protocol 1} ──────────────►│ another protocol: error PeerVersionError, end
        │◄────────────── hello {window 16 MiB}┤ `accept(channel)` runs in a thread of its own
        │   ...                               │
        ├── bye ─────────────────────────────►│
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator
from socket import AF_INET, getaddrinfo
from typing import Any

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from .. import plain
from ..errors import HostError, PeerVersionError, WireError, WireTimeout, ZaptraceError
from ..limits import CONVERSATIONS, CONVERSATIONS_OF_ONE, DATA, HEAD, UNREAD, UNSENT, WINDOW
from ..linux import outside
from ..log import log, unforeseen
from .channel import Channel, Hub, Timeouts, decode, natural, told
from .door import Door
from .keys import Identity, host_of

__all__ = ["DATA", "Channel", "Listener", "Timeouts", "connect"]

PROTOCOL = 1
_CHECK_MS = 100

# The connecting side


class _Caller(Hub):
    """The hub of a DEALER; ends its channel as soon as the connection is cut."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        socket: zmq.Socket[bytes],
        monitor: zmq.Socket[bytes],
        ours: Timeouts,
    ) -> None:
        super().__init__(context, socket, ours)
        self._monitor = monitor
        self.poller.register(monitor, zmq.POLLIN)

    def also(self, ready: dict[Any, int]) -> None:
        if self._monitor in ready:
            event = recv_monitor_message(self._monitor)["event"]
            if event in (zmq.Event.DISCONNECTED, zmq.Event.CLOSED):
                self.receive()  # what came before the cut
                self.lose(b"", "the connection is cut")

    def close_sockets(self) -> None:
        self.socket.disable_monitor()
        self._monitor.close(linger=0)
        super().close_sockets()


@contextlib.contextmanager
def connect(
    endpoint: str,
    *,
    identity: Identity,
    server_key: bytes,
    timeouts: Timeouts | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Channel]:
    """A conversation with the server at `endpoint` (tcp://host:port), which must hold `server_key`.

    Raises WireError when there is none, or it does not let us in; PeerVersionError. `check` is
    called now and then until there is one, and may raise.
    """
    timeouts = timeouts or Timeouts()
    host = host_of(endpoint)
    address, ipv6 = _find(host, timeouts.connect, check)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    _prepare(socket, timeouts, ipv6=ipv6)
    socket.curve_publickey = z85.encode(identity.public)
    socket.curve_secretkey = z85.encode(identity.secret)
    socket.curve_serverkey = z85.encode(server_key)
    socket.reconnect_ivl = -1
    monitor = socket.get_monitor_socket()
    hub = _Caller(context, socket, monitor, timeouts)
    try:
        socket.connect(f"tcp://{address}")
        _wait_connected(monitor, host, identity, timeouts.connect, check)
        window = _greet(socket, host, timeouts.connect, check)
        channel = Channel(hub, b"", host, window, timeouts)
        hub.add(b"", channel)
    except BaseException as e:
        hub.close_sockets()
        hub.release()
        if isinstance(e, zmq.Again):  # nobody is there to be greeted
            raise WireError(f"{host} went away", found="the connection is cut") from None
        raise
    hub.start()
    try:
        yield channel
    finally:
        channel.close()
        hub.stop()
        hub.release()


def _find(host: str, timeout: float, check: Callable[[], None]) -> tuple[str, bool]:
    """The address of `host` (name:port) in numbers, and whether that is IPv6.

    A name with both gets IPv4: "localhost" is often ::1 first, where a server that listens on 127.0.0.1
    cannot be found. Who knows names may take long, and libzmq would wait for him where nobody can say
    that it is enough.
    """
    name, _, port = host.rpartition(":")
    if name.startswith("["):
        return host, True
    try:
        found = outside.call(name, lambda: getaddrinfo(name, None), limit=timeout, check=check)
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else str(e)
        if isinstance(e, OSError) and e.errno == errno.ETIMEDOUT:
            why = f"nobody says within {timeout:g} s"
        raise WireError(
            f"cannot reach {host}",
            needed="the address of that host",
            found=f"{name}: {why}",
            do="look for a mistake in the name, or give the address",
            changed="nothing",
        ) from e
    addresses = {family: str(address[0]) for family, _, _, _, address in reversed(found)}
    if AF_INET in addresses:
        return f"{addresses[AF_INET]}:{port}", False
    return f"[{next(iter(addresses.values()))}]:{port}", True


def _prepare(socket: zmq.Socket[bytes], timeouts: Timeouts, *, ipv6: bool) -> None:
    socket.ipv6 = ipv6
    socket.linger = 0
    socket.sndhwm = 0  # bounded by credit
    socket.rcvhwm = UNREAD
    socket.maxmsgsize = HEAD.bytes
    socket.handshake_ivl = int(timeouts.connect * 1000)
    # Frees sockets whose other end is unplugged; the conversation itself knows by its own pings. Not
    # by ZeroMQ's heartbeats: to send one on a connection that has failed while UNREAD messages held
    # it back ends the process (libzmq 4.3.5, an assertion in stream_engine_base_t::out_event).
    seconds = max(1, round(timeouts.silence / 3))
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = seconds
    socket.tcp_keepalive_cnt = 3
    socket.tcp_maxrt = int(timeouts.silence * 1000)
    socket.sndtimeo = int(timeouts.connect * 1000)


def _wait_connected(
    monitor: zmq.Socket[bytes],
    host: str,
    identity: Identity,
    timeout: float,
    check: Callable[[], None],
) -> None:
    until = time.monotonic() + timeout
    connected = False
    while _ready(monitor, until, check):
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


def _ready(socket: zmq.Socket[bytes], until: float, check: Callable[[], None]) -> bool:
    """Is there something to receive, at last?"""
    while (left := until - time.monotonic()) > 0:
        check()
        if socket.poll(min(_CHECK_MS, int(left * 1000) + 1)):
            return True
    return False


def _greet(socket: zmq.Socket[bytes], host: str, timeout: float, check: Callable[[], None]) -> int:
    """Exchange hellos; returns the other side's window."""
    socket.send(_hello())
    if not _ready(socket, time.monotonic() + timeout, check):
        raise WireTimeout(f"{host} does not say hello", found=f"nothing for {timeout:g} s")
    try:
        kind, fields, _, _ = decode(socket.recv_multipart(copy=False))
        if kind == "error":
            raise told(fields, host)
        if kind != "hello":
            raise ValueError(kind)
        _check_protocol(fields, host)
        return max(natural(fields, "window"), 1)
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


class Listener(Hub):
    """Accepts conversations at `bind` (tcp://address:port, port * or 0 for any).

    authorize   who holds this public key? None: it may not come in
    accept      called with each new Channel, in a thread of its own; the channel is closed after it
    failed      called when nobody listens any more, though `close` was not called
    """

    def __init__(
        self,
        bind: str,
        *,
        identity: Identity,
        authorize: Callable[[bytes], str | None],
        accept: Callable[[Channel], None],
        failed: Callable[[], None] = lambda: None,
        timeouts: Timeouts | None = None,
    ) -> None:
        timeouts = timeouts or Timeouts()
        host = host_of(bind)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # ZAP (rfc.zeromq.org/spec/27): libzmq asks here before it lets anyone in.
        self._zap = context.socket(zmq.REP)
        self._zap.bind("inproc://zeromq.zap.01")
        socket = context.socket(zmq.ROUTER)
        _prepare(socket, timeouts, ipv6=host.startswith("["))
        socket.router_mandatory = True
        socket.sndhwm = UNSENT  # of what answers strangers, too
        socket.curve_server = True
        socket.curve_secretkey = z85.encode(identity.secret)
        socket.zap_domain = b"zaptrace"
        super().__init__(context, socket, timeouts)
        self.poller.register(self._zap, zmq.POLLIN)
        self._authorize = authorize
        self._accept = accept
        self._failed = failed
        self._talking: dict[threading.Thread, str] = {}
        self._door = Door(socket)
        self.poller.register(self._door.monitor, zmq.POLLIN)
        try:
            socket.bind(bind.replace(":0", ":*") if host.endswith(":0") else bind)
        except zmq.ZMQError as e:
            self.close_sockets()
            self.release()
            raise HostError(
                f"cannot listen on {host}",
                needed="an address of this host with a free port",
                found=e.strerror,
                remedy="choose another with --bind, or end what uses it",
            ) from e
        self.endpoint: str = socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        """Where we listen, with the real port."""
        self.start()

    def close(self) -> None:
        """Stop listening and end every conversation; waits for their threads, but not for ever."""
        self.stop()
        until = time.monotonic() + self.timeouts.answer
        for thread in list(self._talking):
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.error("a conversation does not end; it is left alone")
        self.release()

    def close_sockets(self) -> None:
        self._zap.close(linger=0)
        self._door.close()
        super().close_sockets()

    def has_failed(self) -> None:
        self._failed()

    def also(self, ready: dict[Any, int]) -> None:
        if self._zap in ready:
            self._answer_zap()
        if self._door.monitor in ready:
            self._door.look()

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

    def stranger(
        self, route: bytes, kind: str, fields: dict[str, Any], frames: list[zmq.Frame]
    ) -> None:
        if kind != "hello":
            return  # late words of a conversation that is over
        who = str(frames[0].get("User-Id"))
        peer = f"{who} ({frames[0].get('Peer-Address')})"
        try:
            _check_protocol(fields, "the server")
            self._refuse_too_many(who)
        except ZaptraceError as e:
            self.transmit(route, [plain.dumps({"kind": "error", "error": e.to_dict()})])
            return
        window = max(natural(fields, "window"), 1)
        channel = Channel(self, route, peer, window, self.timeouts)
        self.add(route, channel)
        self.transmit(route, [_hello()])
        thread = threading.Thread(target=self._converse, args=(channel,), daemon=True)
        self._talking[thread] = who
        try:
            thread.start()
        except RuntimeError:  # the host has no more
            del self._talking[thread]
            raise

    def _refuse_too_many(self, who: str) -> None:
        """One that was cut off counts until what it asked for has come to its end."""
        for found, most in (
            (len(self._talking), CONVERSATIONS),
            (list(self._talking.values()).count(who), CONVERSATIONS_OF_ONE),
        ):
            if found >= most:
                raise WireError(
                    "the server is busy",
                    needed=f"less than {most} conversations at a time",
                    found=str(found),
                    do="try again when some have come to their end",
                    changed="nothing",
                )

    def _converse(self, channel: Channel) -> None:
        try:
            self._accept(channel)
        except ZaptraceError as e:
            channel.fail(e)
        except Exception as e:
            unforeseen(f"converse with {channel.peer}", e)
            channel.fail(ZaptraceError("the server failed", do="see its log"))
        finally:
            channel.close()
            self._talking.pop(threading.current_thread(), None)

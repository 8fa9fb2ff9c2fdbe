"""Conversations: who may talk, what arrives, how much at a time, and how it ends."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from zmq.utils import z85

from zaptrace import plain, wire
from zaptrace.errors import (
    HostError,
    PeerGone,
    PeerVersionError,
    RestoreError,
    WireError,
    WireTimeout,
    ZaptraceError,
)
from zaptrace.keys import Identity, new_identity
from zaptrace.wire import Channel, Listener, Timeouts, connect

SERVER, CLIENT, STRANGER = new_identity(), new_identity(), new_identity()
QUICK = Timeouts(connect=5, ping=0.1, silence=30, answer=30)


@contextlib.contextmanager
def listening(
    accept: Callable[[Channel], None], timeouts: Timeouts = QUICK, bind: str = "tcp://127.0.0.1:*"
) -> Iterator[Listener]:
    """A listener that lets CLIENT in."""
    listener = Listener(
        bind,
        identity=SERVER,
        authorize=lambda key: "ada@laptop" if key == CLIENT.public else None,
        accept=accept,
        timeouts=timeouts,
    )
    try:
        yield listener
    finally:
        listener.close()


def call(listener: Listener, **options: Any) -> contextlib.AbstractContextManager[Channel]:
    """Connect to `listener` as CLIENT."""
    options = {"identity": CLIENT, "server_key": SERVER.public, "timeouts": QUICK} | options
    return connect(listener.endpoint, **options)


def echo(channel: Channel) -> None:
    """Answer every message with itself, until the other side goes."""
    with contextlib.suppress(PeerGone):
        while True:
            message = channel.recv("say", timeout=60)
            channel.send("say", bytes(message.data), **message.fields)


def test_messages_arrive_whole_and_in_order() -> None:
    with listening(echo) as listener, call(listener) as channel:
        for n in (0, 1, 1000, wire.MAX_DATA):
            data = os.urandom(n)
            channel.send("say", data, n=n, name="ø", raw=b"\0\xff", nested={"a": [1, None, True]})
            answer = channel.recv("say")
            assert bytes(answer.data) == data
            assert answer.get("n", int) == n
            assert answer.fields["nested"] == {"a": [1, None, True]}
            assert answer.fields["raw"] == b"\0\xff"
        with pytest.raises(WireError, match="makes no sense"):
            answer.get("name", int)


def test_several_at_a_time() -> None:
    with listening(echo) as listener, contextlib.ExitStack() as stack:
        channels = [stack.enter_context(call(listener)) for _ in range(4)]
        for turn in range(10):
            for i, channel in enumerate(channels):
                channel.send("say", turn=turn, i=i)
            for i, channel in enumerate(channels):
                assert channel.recv("say").fields == {"turn": turn, "i": i}


def test_the_server_knows_who_calls() -> None:
    peers: queue.Queue[str] = queue.Queue()
    with listening(lambda channel: peers.put(channel.peer)) as listener, call(listener):
        assert peers.get(timeout=30) == "ada@laptop (127.0.0.1)"


# Keys


def test_a_stranger_is_told_the_line_to_add() -> None:
    with (
        listening(echo) as listener,
        pytest.raises(WireError, match="does not let us in") as e,
        call(listener, identity=STRANGER),
    ):
        pass
    assert STRANGER.line in (e.value.do or "")
    assert "authorized_hosts" in (e.value.do or "")


def test_a_server_with_another_key_is_not_talked_to() -> None:
    accepted = []
    with (
        listening(accepted.append) as listener,
        pytest.raises(WireError, match="not who we take it for"),
        call(listener, server_key=STRANGER.public),
    ):
        pass
    assert accepted == []


def test_nobody_there() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with (
        pytest.raises(WireError, match="cannot reach") as e,
        connect(f"tcp://127.0.0.1:{port}", identity=CLIENT, server_key=SERVER.public),
    ):
        pass
    assert "zaptrace serve" in (e.value.do or "")


def test_something_that_never_answers() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with (
            pytest.raises(WireError),
            connect(
                f"tcp://127.0.0.1:{s.getsockname()[1]}",
                identity=CLIENT,
                server_key=SERVER.public,
                timeouts=Timeouts(connect=0.3),
            ),
        ):
            pass


def test_a_port_in_use() -> None:
    with (
        listening(echo) as listener,
        pytest.raises(HostError, match="cannot listen"),
        listening(echo, bind=listener.endpoint),
    ):
        pass


def test_plain_zeromq_without_keys_gets_nothing() -> None:
    accepted = []
    with listening(accepted.append) as listener, zmq.Context() as context:
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.connect(listener.endpoint)
        dealer.send(plain.dumps({"kind": "hello", "protocol": 1, "window": 1}))
        assert dealer.poll(300) == 0
        dealer.close()
    assert accepted == []


# Hello


@contextlib.contextmanager
def raw_client(listener: Listener) -> Iterator[zmq.Socket[bytes]]:
    """A socket with the right keys, for saying the wrong things."""
    with zmq.Context() as context:
        dealer: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.curve_publickey = z85.encode(CLIENT.public)
        dealer.curve_secretkey = z85.encode(CLIENT.secret)
        dealer.curve_serverkey = z85.encode(SERVER.public)
        dealer.connect(listener.endpoint)
        try:
            yield dealer
        finally:
            dealer.close()


def hear(dealer: zmq.Socket[bytes]) -> dict[str, Any]:
    """The next message that is no ping."""
    while True:
        assert dealer.poll(30_000)
        said = plain.loads(dealer.recv_multipart()[0])
        if said["kind"] != "ping":
            return said


def test_another_protocol_is_refused_by_the_server() -> None:
    with listening(echo) as listener, raw_client(listener) as dealer:
        dealer.send(plain.dumps({"kind": "hello", "protocol": 99, "window": 1 << 20}))
        said = hear(dealer)
        assert said["kind"] == "error"
        assert said["error"]["class"] == "PeerVersionError"


def test_another_protocol_is_refused_by_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(echo) as listener:
        monkeypatch.setattr(wire, "_hello", lambda: plain.dumps({"kind": "hello", "protocol": 2}))
        with pytest.raises(PeerVersionError) as e, call(listener):
            pass
    assert e.value.do == "install the same zaptrace on both hosts"


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xc1"],
        [b"\xdd\xff\xff\xff\xff" * 50],
        [plain.dumps([])],
        [plain.dumps({})],
        [plain.dumps({"kind": 7})],
        [plain.dumps({"kind": "hello", "protocol": 1, "window": 1 << 20})],
        [plain.dumps({"kind": "credit"})],
        [plain.dumps({"kind": "credit", "bytes": -1})],
        [plain.dumps({"kind": "say"}), b"x" * (wire.MAX_DATA + 1)],
        [plain.dumps({"kind": "say"}), b"", b""],
    ],
)
def test_nonsense_ends_that_conversation_only(frames: list[bytes]) -> None:
    ended: queue.Queue[Exception] = queue.Queue()

    def accept(channel: Channel) -> None:
        try:
            echo_once(channel)
        except PeerGone as e:
            ended.put(e)

    def echo_once(channel: Channel) -> None:
        message = channel.recv("say", timeout=60)
        channel.send("say", **message.fields)

    with listening(accept) as listener, raw_client(listener) as dealer:
        if b"hello" not in frames[0]:
            dealer.send_multipart(frames)  # nobody listens before the hello
        dealer.send(plain.dumps({"kind": "hello", "protocol": 1, "window": 1 << 20}))
        assert hear(dealer)["kind"] == "hello"
        dealer.send_multipart(frames)
        assert "is no message" in (ended.get(timeout=30).found or "")  # type: ignore[attr-defined]
        with call(listener) as channel:
            channel.send("say", n=1)
            assert channel.recv("say").fields == {"n": 1}


# Flow control


def test_a_slow_reader_holds_the_sender_back() -> None:
    go = threading.Event()
    received: list[int] = []

    def slow(channel: Channel) -> None:
        go.wait(60)
        with contextlib.suppress(PeerGone):
            while True:
                received.append(len(channel.recv("data", timeout=60).data))

    sent = []

    def push(channel: Channel) -> None:
        for _ in range(100):
            channel.send("data", bytes(1 << 20))
            sent.append(1 << 20)

    with listening(slow) as listener, call(listener) as channel:
        pusher = threading.Thread(target=push, args=(channel,))
        pusher.start()
        while sum(sent) < wire.WINDOW - (2 << 20):
            time.sleep(0.01)
        pusher.join(0.3)
        assert pusher.is_alive(), "it waits for credit"
        assert sum(sent) <= wire.WINDOW
        go.set()
        pusher.join(60)
        assert sum(sent) == 100 << 20
        while sum(received) < 100 << 20:
            time.sleep(0.01)


def test_a_reader_that_stopped_is_a_timeout() -> None:
    stop = threading.Event()
    with (
        listening(lambda channel: bool(stop.wait(60)) and None) as listener,
        call(listener, timeouts=Timeouts(answer=0.3, ping=0.1)) as channel,
    ):
        with pytest.raises(WireTimeout, match="takes no more"):
            for _ in range(100):
                channel.send("data", bytes(1 << 20))
        stop.set()


def test_who_ignores_flow_control_is_put_out() -> None:
    ended: queue.Queue[str] = queue.Queue()
    go = threading.Event()

    def accept(channel: Channel) -> None:
        go.wait(60)
        try:
            while True:
                channel.recv("data")
        except PeerGone as e:
            ended.put(e.found or "")

    with listening(accept) as listener, raw_client(listener) as dealer:
        dealer.send(plain.dumps({"kind": "hello", "protocol": 1, "window": 1 << 20}))
        assert hear(dealer)["kind"] == "hello"
        for _ in range(20):
            dealer.send_multipart([plain.dumps({"kind": "data"}), bytes(1 << 20)])
        while listener.channels:
            time.sleep(0.01)
        go.set()
        assert "more than it may" in ended.get(timeout=30)


def test_a_map_larger_than_a_window_passes() -> None:
    big = "x" * (wire.WINDOW + 5)

    def accept(channel: Channel) -> None:
        for _ in range(2):
            n = len(channel.recv("say").fields["big"])
            channel.send("length", n=n, back=big)

    with listening(accept) as listener, call(listener) as channel:
        for _ in range(2):
            channel.send("say", big=big)
            assert channel.recv("length").fields == {"n": len(big), "back": big}


def test_what_is_too_big_is_not_sent() -> None:
    with listening(echo) as listener, call(listener) as channel:
        with pytest.raises(WireError, match="too big"):
            channel.send("say", bytes(wire.MAX_DATA + 1))
        channel.send("say", n=1)
        assert channel.recv("say").fields == {"n": 1}


# Ends


def test_an_error_of_the_server_is_raised_at_the_client() -> None:
    def accept(channel: Channel) -> None:
        channel.recv("say")
        raise RestoreError("no room", stage="CLAIM", found="a full house", changed="nothing")

    with listening(accept) as listener, call(listener) as channel:
        channel.send("say")
        with pytest.raises(RestoreError, match="no room") as e:
            channel.recv("say")
        assert (e.value.stage, e.value.found) == ("CLAIM", "a full house")
        with pytest.raises(RestoreError):
            channel.send("say")
        assert channel.gone


def test_a_bug_in_the_server_is_an_error_too() -> None:
    def accept(channel: Channel) -> None:
        raise KeyError("oops")

    with (
        listening(accept) as listener,
        call(listener) as channel,
        pytest.raises(ZaptraceError, match="the server failed"),
    ):
        channel.recv("say")


def test_an_error_of_the_client_is_raised_at_the_server() -> None:
    ended: queue.Queue[Exception] = queue.Queue()

    def accept(channel: Channel) -> None:
        try:
            channel.recv("say")
        except Exception as e:
            ended.put(e)

    with listening(accept) as listener, call(listener) as channel:
        channel.fail(RestoreError("changed my mind", stage="CLAIM"))
        assert "changed my mind" in str(ended.get(timeout=30))


def test_what_was_sent_before_an_error_is_still_received() -> None:
    def accept(channel: Channel) -> None:
        channel.send("say", n=1)
        raise WireError("enough")

    with listening(accept) as listener, call(listener) as channel:
        assert channel.recv("say").fields == {"n": 1}
        with pytest.raises(WireError, match="enough"):
            channel.recv("say")


def test_a_client_that_leaves_is_noticed() -> None:
    ended: queue.Queue[Exception] = queue.Queue()

    def accept(channel: Channel) -> None:
        try:
            channel.recv("say")
        except Exception as e:
            ended.put(e)

    with listening(accept) as listener:
        with call(listener):
            pass
        assert isinstance(ended.get(timeout=30), PeerGone)


def test_a_server_that_leaves_is_noticed() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listening(echo))
        channel = stack.enter_context(call(listener))
        channel.send("say")
        channel.recv("say")
        listener.close()
        with pytest.raises(PeerGone):
            channel.recv("say")
        with pytest.raises(PeerGone):
            channel.send("say")


class Cable:
    """A TCP relay in front of `endpoint` that can be cut, or go dead without a word."""

    def __init__(self, endpoint: str) -> None:
        self.target = int(endpoint.rpartition(":")[2])
        self.server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.server.getsockname()[1]}"
        self.sockets: list[socket.socket] = []
        self.dead = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                self.sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not self.dead:
                    target.sendall(data)

    def cut(self) -> None:
        """Close every connection through here."""
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut, and refuse new connections."""
        self.server.close()
        self.cut()


@pytest.mark.parametrize("how", ["cut", "dead"])
def test_a_cut_connection_is_noticed_on_both_sides(how: str) -> None:
    ended: queue.Queue[Exception] = queue.Queue()

    def accept(channel: Channel) -> None:
        try:
            echo_until_error(channel)
        except Exception as e:
            ended.put(e)

    def echo_until_error(channel: Channel) -> None:
        while True:
            channel.send("say", **channel.recv("say").fields)

    timeouts = Timeouts(ping=0.1, silence=1.0, answer=60)
    with listening(accept, timeouts) as listener, contextlib.ExitStack() as stack:
        cable = Cable(listener.endpoint)
        stack.callback(cable.close)
        channel = stack.enter_context(
            connect(cable.endpoint, identity=CLIENT, server_key=SERVER.public, timeouts=timeouts)
        )
        channel.send("say", n=1)
        assert channel.recv("say").fields == {"n": 1}
        if how == "cut":
            cable.cut()
        else:
            cable.dead = True
        with pytest.raises(PeerGone):
            channel.recv("say")
        assert isinstance(ended.get(timeout=30), PeerGone)


def test_pings_keep_a_quiet_conversation_alive() -> None:
    timeouts = Timeouts(ping=0.05, silence=0.6, answer=60)
    with listening(echo, timeouts) as listener, call(listener, timeouts=timeouts) as channel:
        time.sleep(1.5)
        channel.send("say", n=1)
        assert channel.recv("say").fields == {"n": 1}


def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    with listening(echo) as listener, call(listener) as channel, pytest.raises(WireTimeout):
        channel.recv("say", timeout=0.1)


def test_another_answer_than_expected_is_an_error() -> None:
    with listening(echo) as listener, call(listener) as channel:
        channel.send("say")
        with pytest.raises(WireError, match="something else"):
            channel.recv("sing")


def test_nothing_is_left_open() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    def once() -> None:
        with listening(echo) as listener, call(listener) as channel:
            channel.send("say")
            channel.recv("say")
        with contextlib.suppress(WireError), call(listener):
            pass

    once()
    before, threads = count(), threading.active_count()
    for _ in range(3):
        once()
    assert count() <= before
    assert threading.active_count() <= threads


def test_the_secret_is_not_shown() -> None:
    identity = Identity(b"p" * 32, b"s" * 32)
    assert "ssss" not in repr(identity)

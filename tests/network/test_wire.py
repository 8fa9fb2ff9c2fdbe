"""Hosts reach each other: who may talk, in which protocol, and what nonsense does."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from harness.conversations import (
    CLIENT,
    QUICK,
    SERVER,
    STRANGER,
    call,
    echo,
    hear,
    listening,
    raw_client,
)
from zaptrace import plain
from zaptrace.cancel import Cancel
from zaptrace.errors import Cancelled, HostError, PeerGone, PeerVersionError, WireError
from zaptrace.network import wire
from zaptrace.network.wire import Channel, Timeouts, connect


def test_messages_arrive_whole_and_in_order() -> None:
    with listening(echo) as listener, call(listener) as channel:
        for n in (0, 1, 1000, wire.DATA):
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


def test_a_host_without_an_address() -> None:
    with (
        pytest.raises(WireError, match="cannot reach"),
        connect("tcp://no-such-host.invalid:1", identity=CLIENT, server_key=SERVER.public),
    ):
        pass


@pytest.mark.parametrize(
    ("bind", "host"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), ("[::1]", "[::1]")]
)
def test_addresses(bind: str, host: str) -> None:
    try:
        socket.create_server((bind.strip("[]"), 0), family=address_family(bind)).close()
    except OSError:
        pytest.skip(f"this host has no {bind}")
    with listening(echo, bind=f"tcp://{bind}:0") as listener:
        port = listener.endpoint.rpartition(":")[2]
        assert listener.endpoint == f"tcp://{bind}:{port}"
        with connect(
            f"tcp://{host}:{port}", identity=CLIENT, server_key=SERVER.public, timeouts=QUICK
        ) as channel:
            channel.send("say", n=1)
            assert channel.recv("say").fields == {"n": 1}


def address_family(bind: str) -> int:
    return socket.AF_INET6 if bind.startswith("[") else socket.AF_INET


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
        [plain.dumps({"kind": "say"}), b"x" * (wire.DATA + 1)],
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


def test_nobody_is_greeted_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is cut right after the handshake: there is nobody to send to any more."""
    connected = wire._wait_connected
    with listening(echo) as listener:

        def and_cut(monitor: zmq.Socket[bytes], *arguments: Any) -> None:
            connected(monitor, *arguments)
            listener.close()
            while recv_monitor_message(monitor)["event"] != zmq.Event.DISCONNECTED:
                assert monitor.poll(10_000)

        monkeypatch.setattr(wire, "_wait_connected", and_cut)
        quick = replace(QUICK, connect=1)
        with pytest.raises(WireError, match="went away"), call(listener, timeouts=quick):
            raise AssertionError


def test_who_knows_names_and_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that nor a name that can be none keeps who wants to reach a host, or to give it up."""
    answer = threading.Event()
    monkeypatch.setattr(wire, "getaddrinfo", lambda name, port: answer.wait(60) and [])
    quick = replace(QUICK, connect=0.1)

    def reach(name: str, timeouts: Timeouts, check: Callable[[], None] = lambda: None) -> None:
        endpoint, key = f"tcp://{name}:7077", SERVER.public
        with connect(endpoint, identity=CLIENT, server_key=key, timeouts=timeouts, check=check):
            pass

    try:
        with pytest.raises(WireError, match="cannot reach there:7077") as caught:
            reach("there", quick)
        assert "nobody says within 0.1 s" in (caught.value.found or "")
        cancel = Cancel("the migration")
        cancel.ask("ctrl-c")
        with pytest.raises(Cancelled):
            reach("there", replace(QUICK, connect=300), cancel.check)
    finally:
        answer.set()
    monkeypatch.undo()
    with pytest.raises(WireError, match="cannot reach") as caught:
        reach("a" * 70, QUICK)
    assert caught.value.do == "look for a mistake in the name, or give the address"

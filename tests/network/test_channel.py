"""Conversations: what arrives, how much at a time, and how they end."""

from __future__ import annotations

import contextlib
import os
import queue
import tempfile
import threading
import time
from pathlib import Path

import pytest

from harness.conversations import CLIENT, SERVER, call, echo, hear, listening, raw_client
from harness.relay import Relay
from zaptrace import plain
from zaptrace.errors import PeerGone, RestoreError, WireError, WireTimeout, ZaptraceError
from zaptrace.network import channel as channel_module
from zaptrace.network import wire
from zaptrace.network.keys import Identity
from zaptrace.network.wire import Channel, Timeouts, connect

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
        while sum(sent) < channel_module.WINDOW - (2 << 20):
            time.sleep(0.01)
        pusher.join(0.3)
        assert pusher.is_alive(), "it waits for credit"
        assert sum(sent) <= channel_module.WINDOW
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


def test_a_map_larger_than_a_window_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (channel_module, wire):
        monkeypatch.setattr(module, "WINDOW", 1 << 16)
    big = "x" * ((1 << 16) + 5)

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
            channel.send("say", bytes(wire.DATA + 1))
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


def test_a_bug_in_the_server_is_an_error_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """... and what it was is written down where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(place))

    def accept(channel: Channel) -> None:
        raise KeyError("oops")

    with (
        listening(accept) as listener,
        call(listener) as channel,
        pytest.raises(ZaptraceError, match="the server failed"),
    ):
        channel.recv("say")
    (written,) = place.glob("zaptrace-fault-*.txt")
    assert "KeyError: 'oops'" in written.read_text()


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
        relay = Relay(listener.endpoint)
        stack.callback(relay.close)
        channel = stack.enter_context(
            connect(relay.endpoint, identity=CLIENT, server_key=SERVER.public, timeouts=timeouts)
        )
        channel.send("say", n=1)
        assert channel.recv("say").fields == {"n": 1}
        if how == "cut":
            relay.cut()
        else:
            relay.dead = True
        with pytest.raises(PeerGone):
            channel.recv("say")
        assert isinstance(ended.get(timeout=30), PeerGone)


def test_pings_keep_a_quiet_conversation_alive() -> None:
    timeouts = Timeouts(ping=0.05, silence=2, answer=60)
    with listening(echo, timeouts) as listener, call(listener, timeouts=timeouts) as channel:
        time.sleep(3)
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

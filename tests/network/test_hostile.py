"""What an authorised peer, or a crowd of strangers, can do to a listener: nothing to all others."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import queue
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import pytest
import zmq

from harness.conversations import QUICK, call, echo, hear, listening, raw_client
from zaptrace import plain
from zaptrace.errors import PeerGone, WireError
from zaptrace.limits import HEAD
from zaptrace.network import channel as channels
from zaptrace.network import door, wire
from zaptrace.network.wire import Channel, Listener

HELLO = plain.dumps({"kind": "hello", "protocol": 1, "window": 1 << 20})


def still_hears(listener: Listener) -> None:
    with call(listener) as channel:
        channel.send("say", n=1)
        assert channel.recv("say").fields == {"n": 1}


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "error", "error": {"class": "NativeError", "what": "x", "needed": "y"}},
        {"kind": "error", "error": {"class": "Wrong", "what": 7, "do": []}},
        {"kind": "error", "error": [1]},
        {"kind": "error"},
    ],
    ids=str,
)
def test_no_error_of_a_peer_makes_a_listener_deaf(said: dict) -> None:
    ended: queue.Queue[Exception] = queue.Queue()

    def accept(channel: Channel) -> None:
        try:
            echo(channel)
            ended.put(PeerGone("it went away"))
        except Exception as error:
            ended.put(error)

    with listening(accept) as listener:
        with raw_client(listener) as dealer:
            dealer.send(HELLO)
            assert hear(dealer)["kind"] == "hello"
            dealer.send(plain.dumps(said))
            assert type(ended.get(timeout=30)).__module__ == "zaptrace.errors"
        still_hears(listener)


def test_a_fault_of_ours_ends_one_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    def understand(fields: dict, name: str) -> int:
        raise RuntimeError("ours")

    reports: list[str] = []
    monkeypatch.setattr("zaptrace.network.channel.natural", understand)
    monkeypatch.setattr(
        "zaptrace.network.channel.unforeseen", lambda doing, error: reports.append(str(error))
    )
    ended = threading.Event()

    def accept(channel: Channel) -> None:
        with contextlib.suppress(PeerGone):
            channel.recv("say", timeout=60)
            channel.send("say")
            channel.recv("say", timeout=60)
        ended.set()

    with listening(accept) as listener, raw_client(listener) as dealer:
        dealer.send(HELLO)
        assert hear(dealer)["kind"] == "hello"
        dealer.send(plain.dumps({"kind": "credit", "bytes": 1}))
        assert ended.wait(30)
        assert reports == ["ours"]
        with call(listener) as channel:
            channel.send("say")
            assert channel.recv("say").fields == {}


def test_who_lives_by_a_listener_is_told_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    monkeypatch.setattr("zaptrace.network.channel.unforeseen", lambda doing, error: error)
    with listening(echo, failed=failed.set) as listener:
        monkeypatch.setattr(listener, "also", lambda ready: 1 // 0)
        assert failed.wait(30)
        assert isinstance(listener.failed, ZeroDivisionError)


@pytest.mark.parametrize(
    "frame",
    [
        b"\xdd" + HEAD.bytes.to_bytes(4, "big") + b"\x90" * (HEAD.bytes - 5),
        b"\x91" * 1000 + b"\xc0",
    ],
    ids=["five million lists", "deep"],
)
def test_a_message_that_would_become_much_is_none(frame: bytes) -> None:
    with listening(echo) as listener, raw_client(listener) as dealer:
        dealer.send(HELLO)
        assert hear(dealer)["kind"] == "hello"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        dealer.send(frame)
        still_hears(listener)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_what_waits_is_as_large_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small values, a window full of them: as bytes until somebody takes them out."""
    for module in (channels, wire):
        monkeypatch.setattr(module, "WINDOW", 2 << 20)
    go = threading.Event()
    counts: queue.Queue[int] = queue.Queue()

    def slow(channel: Channel) -> None:
        go.wait(60)
        with contextlib.suppress(PeerGone):
            while True:
                counts.put(len(channel.recv("say", timeout=60).fields["many"]))

    many = [[]] * 100_000
    with listening(slow) as listener, call(listener) as channel:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = (2 << 20) // 110_000
        for _ in range(times):
            channel.send("say", many=many)
        while listener.channels and next(iter(listener.channels.values()))._inbox_cost < 1 << 20:
            time.sleep(0.01)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
        go.set()
        assert [counts.get(timeout=60) for _ in range(times)] == [len(many)] * times


def test_conversations_of_one_peer_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CONVERSATIONS_OF_ONE", 2)
    with listening(echo) as listener, contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(call(listener)).send("say")
        with pytest.raises(WireError, match="busy") as refused, call(listener):
            pass
        assert refused.value.needed == "less than 2 conversations at a time"
        stack.close()
        for thread in list(listener._talking):
            thread.join()
        still_hears(listener)


def test_one_that_was_cut_off_counts_until_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CONVERSATIONS", 1)
    go = threading.Event()
    with listening(lambda channel: go.wait(60) and None) as listener:
        with call(listener):
            pass
        with pytest.raises(WireError, match="busy"), call(listener):
            pass
        go.set()


# Connections


@contextlib.contextmanager
def strangers(listener: Listener, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that say nothing."""
    host, _, port = listener.endpoint.removeprefix("tcp://").rpartition(":")
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.settimeout(30)
        yield [one for one in found if one.connect_ex((host, int(port))) == 0]


PATIENT = dataclasses.replace(QUICK, connect=300)
"""Strangers are not cut off for their silence."""


def await_ended(found: list[socket.socket], count: int) -> None:
    """Until so many of these connections were ended by the other side."""
    ended: set[socket.socket] = set()
    until = time.monotonic() + 60
    while len(ended) < count:
        assert time.monotonic() < until, f"{len(ended)} were turned away, not {count}"
        ready, _, _ = select.select([one for one in found if one not in ended], [], [], 1)
        for one in ready:
            try:
                if not one.recv(4096):
                    ended.add(one)
            except OSError:
                ended.add(one)


def test_a_crowd_of_connections_is_turned_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "CONNECTIONS", 5)
    caplog.set_level(logging.WARNING, logger="zaptrace")
    with listening(echo, PATIENT) as listener:
        with strangers(listener, 20) as found:
            await_ended(found, 15)
        still_hears(listener)
    assert any("turned away: 5 are the most" in message for message in caplog.messages)


def all_descriptors() -> list[BinaryIO]:
    taken: list[BinaryIO] = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(open("/dev/null", "rb"))  # noqa: SIM115 - the caller closes it
    return taken


def test_no_descriptor_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """libzmq would try to accept the same connection again and again, for ever."""
    monkeypatch.setattr(door, "most_connections", lambda: 10_000)
    caplog.set_level(logging.WARNING, logger="zaptrace")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listening(echo, PATIENT) as listener:
        with contextlib.ExitStack() as stack:
            host, _, port = listener.endpoint.removeprefix("tcp://").rpartition(":")
            found = [stack.enter_context(socket.socket()) for _ in range(30)]
            highest = max(map(int, os.listdir("/proc/self/fd")))
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 4, hard))
            try:
                taken = [stack.enter_context(one) for one in all_descriptors()]
                for one in taken[-4:]:
                    one.close()
                for one in found:
                    one.settimeout(30)
                    one.connect((host, int(port)))
                await_ended(found, 20)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        still_hears(listener)
    assert any("no descriptor is left" in message for message in caplog.messages)


def test_replies_to_one_that_reads_nothing_do_not_pile_up() -> None:
    wrong = plain.dumps({"kind": "hello", "protocol": 99})
    with listening(echo) as listener, raw_client(listener) as dealer:
        dealer.rcvhwm = 1
        assert listener.socket.sndhwm == 1000
        assert listener.socket.rcvhwm == 16
        for _ in range(3000):
            with contextlib.suppress(zmq.Again):
                dealer.send(wrong, zmq.DONTWAIT)
        still_hears(listener)

"""Clients of a supervisor that ask and do not read, ask too much at a time, or are too many."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.supervisors import eventually
from zaptrace.limits import REQUESTS_OF_ONE, UNSENT
from zaptrace.supervisor import control, control_socket
from zaptrace.supervisor.control_socket import ControlSocket, Request
from zaptrace.supervisor.stream import Stream


class Room:
    """A control socket, and one client of it."""

    def __init__(self, place: Path) -> None:
        self.lost: list[bytes] = []
        self.path = str(place / "c")
        self.server = ControlSocket(place / "c", self.lost.append)
        self.client = Stream(connected(self.path))

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.close()

    def ask(self, count: int, verb: str = "wait") -> list[Request]:
        found: list[Request] = []
        for number in range(1, count + 1):
            self.client.put(control.pack({"verb": verb, "id": number}))
            found += self.server.requests()
        while not self.client.flush() or self.server.poller().wait(0):
            found += self.server.requests()
        return found

    def answer(self) -> dict[str, Any]:
        while (frame := self.client.take()) is None:
            self.client.read()
        return control.unpack(frame)


def connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


def test_what_is_for_one_that_reads_nothing_has_an_end(place: Path) -> None:
    """8,000 requests that nobody read the answers of took 500 MB."""
    with Room(place) as room:
        (request,) = room.ask(1)
        large = {"id": 0, "stream": bytes(60_000)}
        sent = 0
        while room.server.offer(request.client, large):
            sent += 1
            assert sent < 2 * UNSENT
        assert room.lost == []  # what can be sent later is no reason ...
        room.server.reply(request)
        assert room.lost == [request.client]  # ... but an answer that is not read is


def test_only_so_many_requests_wait_for_an_answer(place: Path) -> None:
    with Room(place) as room:
        found = room.ask(REQUESTS_OF_ONE + 10)
        assert len(found) == REQUESTS_OF_ONE
        for _ in range(10):
            answer = room.answer()
            assert answer["error"]["what"] == "too many requests at a time"
        for request in found:
            room.server.reply(request)
        assert len(room.ask(REQUESTS_OF_ONE)) == REQUESTS_OF_ONE


def test_what_is_never_answered_is_not_counted(place: Path) -> None:
    with Room(place) as room:
        assert len(room.ask(3 * REQUESTS_OF_ONE, "ack")) == 3 * REQUESTS_OF_ONE
        assert len(room.ask(1)) == 1


@contextlib.contextmanager
def strangers(path: str, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that say nothing."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(count)]
        for one in found:
            one.connect(path)
            one.setblocking(False)
        yield found


def is_ended(one: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        while one.recv(4096):
            continue
        return True
    return False


def test_a_crowd_of_connections_is_turned_away(place: Path, monkeypatch) -> None:
    monkeypatch.setattr("zaptrace.supervisor.control_socket.CLIENTS", 6)
    with Room(place) as room:
        with strangers(room.path, 20) as found:

            def most_are_ended() -> bool:
                assert list(room.server.requests()) == []
                return sum(map(is_ended, found)) >= 15

            eventually(most_are_ended)
        assert len(room.ask(1)) == 1


@contextlib.contextmanager
def few_descriptors(left: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 4 + left, hard))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for fd in [taken.pop() for _ in range(left)]:
            os.close(fd)
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptor_is_left(place: Path) -> None:
    """Nobody spins at clients that cannot be let in, and nothing ends by it: they are let in later.

    libzmq, by which this once was done, aborts there, and the pod would end with its supervisor.
    """
    with Room(place) as room, contextlib.ExitStack() as stack:
        assert len(room.ask(1)) == 1
        others = [Stream(stack.enter_context(connected(room.path))) for _ in range(3)]
        for one in others:
            one.put(control.pack({"verb": "wait", "id": 7}))
        with few_descriptors(1):
            assert room.server.poller().wait(0)
            assert list(room.server.requests()) == []
            assert [request.id for request in room.server.requests()] == [7]
            assert room.server.poller().wait(0) == set()
            assert 0 < (room.server.beat() or 0) <= 1
            room.client.put(control.pack({"verb": "wait", "id": 2}))
            assert [request.id for request in room.server.requests()] == [2]
        found: list[int] = []

        def all_are_in() -> bool:
            found.extend(request.id for request in room.server.requests())
            return found == [7, 7]

        eventually(all_are_in)


def test_messages_that_never_become_whole_have_an_end(place: Path, monkeypatch) -> None:
    monkeypatch.setattr("zaptrace.supervisor.control_socket._HELD", 1 << 20)
    with Room(place) as room:
        length = (4 << 20).to_bytes(4, "big")
        with connected(room.path) as one:
            one.setblocking(False)
            one.send(length)

            def is_cut_off() -> bool:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        one.send(bytes(1 << 16))
                assert list(room.server.requests()) == []
                return bool(room.lost)

            with contextlib.suppress(BrokenPipeError):
                eventually(is_cut_off)
        assert len(room.lost) == 1
        assert len(room.ask(1)) == 1


def test_who_comes_first_is_let_in_when_we_are_ready(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers clients is loaded for the first; where that takes a file too many, a little later."""
    monkeypatch.setattr(control_socket, "_DEAF_S", 0.0)
    tries: list[OSError | None] = [OSError(errno.EMFILE, "too many"), None]

    def before() -> None:
        if (error := tries.pop(0)) is not None:
            raise error

    path = place / "control.sock"
    ours = ControlSocket(path, lambda _: None, before)
    with socket.socket(socket.AF_UNIX) as client:
        assert not list(ours.requests()) and len(tries) == 2  # nobody has come yet
        client.connect(str(path))
        stream = Stream(client)
        stream.put(control.pack({"verb": "status", "id": 1}))
        requests: list[Request] = []
        while not requests:
            requests += ours.requests()
        assert [request.verb for request in requests] == ["status"]
        assert not tries
    ours.close()


def test_descriptors_that_nobody_takes_are_closed():
    """At most three are kept of a client, and those go with it."""
    ours, theirs = socket.socketpair()
    with contextlib.closing(Stream(ours)) as stream, theirs:
        before = len(os.listdir("/proc/self/fd"))
        for count in (2, 5, 3):
            socket.send_fds(theirs, [b"\0\0\0\1x"], [0] * count)
            stream.read()
            assert stream.take() == b"x"
        assert len(os.listdir("/proc/self/fd")) == before + 3
        theirs.close()
        stream.close()
        assert len(os.listdir("/proc/self/fd")) == before - 2

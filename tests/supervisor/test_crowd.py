"""Clients of a supervisor that ask and do not read, or ask too much at a time."""

from __future__ import annotations

from pathlib import Path

import zmq

from zaptrace.limits import REQUESTS_OF_ONE, UNSENT
from zaptrace.supervisor import control
from zaptrace.supervisor.control_socket import ControlSocket, Request


class Room:
    """A control socket, and one client of it that is a plain socket."""

    def __init__(self, place: Path) -> None:
        self.lost: list[bytes] = []
        self.server = ControlSocket(place / "c", self.lost.append)
        self.context = zmq.Context()
        self.client = self.context.socket(zmq.DEALER)
        self.client.linger = 0
        self.client.rcvhwm = 1
        self.client.connect(f"ipc://{place}/c")

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.context.term()
        self.server.close()

    def ask(self, count: int, verb: str = "wait") -> list[Request]:
        for number in range(1, count + 1):
            self.client.send(control.pack({"verb": verb, "id": number}))
        found: list[Request] = []
        while self.server.poller().wait(1000):
            found += self.server.requests()
        return found


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
            answer = control.unpack(room.client.recv())
            assert answer["error"]["what"] == "too many requests at a time"
        for request in found:
            room.server.reply(request)
        assert len(room.ask(REQUESTS_OF_ONE)) == REQUESTS_OF_ONE


def test_what_is_never_answered_is_not_counted(place: Path) -> None:
    with Room(place) as room:
        assert len(room.ask(3 * REQUESTS_OF_ONE, "ack")) == 3 * REQUESTS_OF_ONE
        assert len(room.ask(1)) == 1

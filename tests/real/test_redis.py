"""A redis server keeps its data in memory; its clients come back after each move."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.flavours import MOVING, started
from harness.hosts import free_port
from harness.supervisors import eventually
from harness.world import FlavourError, require


class Client:
    """As much of the redis protocol as is needed here."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")

    def ask(self, *words: str | int) -> str:
        parts = [f"${len(str(w))}\r\n{w}\r\n" for w in words]
        self.socket.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        line = self.file.readline().decode().strip()
        if line.startswith("$") and line != "$-1":
            return self.file.read(int(line[1:]) + 2)[:-2].decode()
        return line[1:]


@contextlib.contextmanager
def client(port: int) -> Iterator[Client]:
    """Connected for a while; at the end the server has closed its end."""
    it = Client(port)
    try:
        yield it
        it.ask("QUIT")
        assert it.file.read() == b""
    finally:
        it.file.close()
        it.socket.close()


def alone(c: Client) -> bool:
    """No other client is connected, as the server sees it."""
    return "connected_clients:1\r\n" in c.ask("INFO", "clients")


def server(port: int) -> list[str]:
    return [
        require("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "no", "--databases", "2",
    ]  # fmt: skip


@pytest.mark.parametrize("flavour", MOVING)
def test_data_stays(flavour: str, place: Path):
    port = free_port()
    with started(flavour, server(port), place) as it:
        it.wait_for("Ready to accept connections")
        with client(port) as c:
            for n in range(2000):
                assert c.ask("SET", f"key:{n}", f"value {n} " * 20) == "OK"
            c.ask("SET", "short", "lived", "PX", "600000")
        for round_ in range(3):
            assert it.cycle()
            with client(port) as c:
                assert c.ask("DBSIZE") == str(2001 + min(round_, 1))
                assert c.ask("GET", "key:1234") == "value 1234 " * 20
                assert c.ask("INCR", "rounds") == str(round_ + 1)
                assert 0 < int(c.ask("PTTL", "short")) <= 600000
        it.signal(15)
        assert it.finish().exit == 0


def test_a_connected_client_is_refused_and_served_on(place: Path):
    port = free_port()
    with started("resume", server(port), place) as it:
        it.wait_for("Ready to accept connections")
        c = Client(port)
        assert c.ask("SET", "a", "1") == "OK"
        with pytest.raises(FlavourError, match="UnsupportedResource"):
            it.cycle()
        assert c.ask("GET", "a") == "1"
        c.file.close()
        c.socket.close()
        with client(port) as other:
            eventually(lambda: alone(other), "that the server sees who has left")
        assert it.cycle()
        it.signal(15)
        assert it.finish().exit == 0

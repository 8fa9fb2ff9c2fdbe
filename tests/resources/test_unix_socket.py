"""The unix_socket room: queues, closed peers, names, connections, and what is refused."""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.resources import unix_socket

STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
KINDS = [STREAM, DGRAM, SEQPACKET]


@pytest.fixture
def pair(request: pytest.FixtureRequest):
    with contextlib.ExitStack() as stack:

        def make(kind: int) -> tuple[socket.socket, socket.socket]:
            a, b = socket.socketpair(socket.AF_UNIX, kind)
            stack.callback(a.detach)
            stack.callback(b.detach)
            return a, b

        yield make


def hold(world: World, *socks: socket.socket) -> None:
    for sock in socks:
        world.hold(sock.fileno())


@pytest.mark.parametrize("kind", KINDS)
def test_pair_with_queues(world: World, pair, kind: int) -> None:
    a, b = pair(kind)
    for data in (b"one", b"two", b"x" * 50000):
        a.send(data)
    b.send(b"back")
    hold(world, a, b)
    assert world.capture(unix_socket) == world.capture(unix_socket)
    world.round_trip(unix_socket)
    if kind == STREAM:
        assert b.recv(1 << 20, socket.MSG_WAITALL | socket.MSG_DONTWAIT) == b"onetwo" + b"x" * 50000
    else:
        assert [len(b.recv(1 << 20)) for _ in range(3)] == [3, 3, 50000]
    assert a.recv(100) == b"back"
    a.send(b"still there")
    assert b.recv(100) == b"still there"
    assert a.getsockopt(socket.SOL_SOCKET, 42) == -1


@pytest.mark.parametrize("kind", [DGRAM, SEQPACKET])
def test_empty_messages(world: World, pair, kind: int) -> None:
    a, b = pair(kind)
    for data in (b"", b"one", b"", b"two"):
        a.send(data)
    hold(world, a, b)
    world.round_trip(unix_socket)
    assert [b.recv(9) for _ in range(4)] == [b"", b"one", b"", b"two"]


def test_a_full_stream(world: World, pair) -> None:
    a, b = pair(STREAM)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 30000)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += a.send(b"y" * 100, socket.MSG_DONTWAIT)
    hold(world, a, b)
    world.round_trip(unix_socket)
    assert a.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 60000
    b.shutdown(socket.SHUT_WR)
    got = b""
    while len(got) < sent:
        got += b.recv(1 << 20)
    assert got == b"y" * sent


@pytest.mark.parametrize("kind", KINDS)
def test_peer_closed(world: World, kind: int) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    b.send(b"last words")
    b.close()
    hold(world, a)
    world.round_trip(unix_socket)
    assert a.recv(100) == b"last words"
    if kind != DGRAM:
        assert a.recv(100) == b""
    with pytest.raises(OSError, match=r"Broken pipe|refused"):
        a.send(b"x")
    a.detach()


@pytest.mark.parametrize("kind", [STREAM, SEQPACKET])
def test_peer_closed_without_reading(world: World, kind: int) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    a.send(b"never read")
    b.close()
    hold(world, a)
    assert world.capture(unix_socket) == world.capture(unix_socket)
    world.round_trip(unix_socket)
    with pytest.raises(ConnectionResetError):
        a.recv(100)
    a.detach()


def test_half_shut(world: World, pair) -> None:
    a, b = pair(STREAM)
    a.send(b"all of it")
    a.shutdown(socket.SHUT_WR)
    hold(world, a, b)
    world.round_trip(unix_socket)
    assert b.recv(100) == b"all of it"
    assert b.recv(100) == b""
    b.send(b"answer")
    assert a.recv(100) == b"answer"
    with pytest.raises(BrokenPipeError):
        a.send(b"x")


def test_options_and_flags(world: World, pair) -> None:
    a, b = pair(DGRAM)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, array.array("q", [3, 0]).tobytes())
    b.setblocking(False)
    hold(world, a, b)
    world.round_trip(unix_socket)
    assert a.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED) == 1
    assert a.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)[0] == 3
    assert not os.get_blocking(b.fileno())
    assert os.get_blocking(a.fileno())


@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.parametrize("kind", [STREAM, SEQPACKET])
def test_listener_and_its_connections(
    world: World, tmp_path: Path, kind: int, abstract: bool
) -> None:
    name: str | bytes = b"\0zaptrace-test-%d" % os.getpid() if abstract else str(tmp_path / "sock")
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(name)
    if not abstract:
        os.chmod(name, 0o640)
    listener.listen(3)
    client = socket.socket(socket.AF_UNIX, kind)
    client.connect(name)
    server = listener.accept()[0]
    server.send(b"hello")
    hold(world, client, listener, server)
    world.round_trip(unix_socket)
    if not abstract:
        assert os.stat(name).st_mode & 0o777 == 0o640
    assert client.getpeername() == server.getsockname() == name
    assert client.recv(9) == b"hello"
    with socket.socket(socket.AF_UNIX, kind) as new:
        new.connect(name)
        accepted = listener.accept()[0]
        new.send(b"new one")
        assert accepted.recv(9) == b"new one"
    for sock in (client, listener, server):
        sock.detach()


def test_accepted_when_the_listener_is_gone(world: World, tmp_path: Path) -> None:
    name = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect(name)
        server = listener.accept()[0]
    os.unlink(name)
    hold(world, client, server)
    world.round_trip(unix_socket)
    assert client.getpeername() == server.getsockname() == name
    assert not os.path.exists(name)
    client.send(b"x")
    assert server.recv(1) == b"x"
    client.detach()
    server.detach()


def test_relative_path(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("sock")
    listener.listen()
    hold(world, listener)
    states = world.capture(unix_socket)
    world.kill()
    monkeypatch.chdir("/")
    world.restore(unix_socket, states)
    assert listener.getsockname() == "sock"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "sock"))
    listener.detach()


def test_datagram_server_with_clients(world: World, tmp_path: Path) -> None:
    at = str(tmp_path / "server")
    server, named, anonymous = (socket.socket(socket.AF_UNIX, DGRAM) for _ in range(3))
    server.bind(at)
    named.bind(str(tmp_path / "client"))
    named.connect(at)
    anonymous.connect(at)
    named.send(b"from named")
    anonymous.send(b"from nobody")
    hold(world, named, anonymous, server)
    world.round_trip(unix_socket)
    assert server.recvfrom(99) == (b"from named", str(tmp_path / "client"))
    assert server.recvfrom(99) == (b"from nobody", None)
    server.sendto(b"answer", str(tmp_path / "client"))
    assert named.recv(99) == b"answer"
    anonymous.send(b"again")
    assert server.recv(99) == b"again"
    for sock in (server, named, anonymous):
        sock.detach()


def test_a_datagram_service_outside(world: World, tmp_path: Path) -> None:
    at = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, DGRAM) as service:
        service.bind(at)
        client = socket.socket(socket.AF_UNIX, DGRAM)
        client.connect(at)
        hold(world, client)
        states = world.capture(unix_socket)
        world.kill()
        world.restore(unix_socket, states)
        client.send(b"entry")
        assert service.recv(99) == b"entry"
        states = world.capture(unix_socket)
    world.kill()
    with pytest.raises(RestoreError, match="sends to"):
        world.restore(unix_socket, states)
    client.detach()


def test_unbound(world: World) -> None:
    sock = socket.socket(socket.AF_UNIX, STREAM)
    hold(world, sock)
    world.round_trip(unix_socket)
    with pytest.raises(OSError, match="not connected"):
        sock.getpeername()
    sock.detach()


def test_refusals(world: World, pair, tmp_path: Path) -> None:
    a, b = pair(STREAM)
    hold(world, a)
    with pytest.raises(UnsupportedResource, match="outside the pod"):
        world.capture(unix_socket)
    hold(world, b)
    r, w = os.pipe()
    socket.send_fds(a, [b"take"], [r])
    with pytest.raises(UnsupportedResource, match="on their way"):
        world.capture(unix_socket)
    _, fds, _, _ = socket.recv_fds(b, 9, 1)
    for fd in (r, w, *fds):
        os.close(fd)
    world.capture(unix_socket)


def test_connections_not_accepted(world: World, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listener.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(tmp_path / "sock"))
    hold(world, client)
    with pytest.raises(UnsupportedResource, match="not accepted"):
        world.capture(unix_socket)
    hold(world, listener)
    with pytest.raises(UnsupportedResource, match="not accepted"):
        world.capture(unix_socket)
    client.detach()
    listener.detach()


@pytest.mark.parametrize("what", ["bound", "file", "directory"])
def test_claim(world: World, tmp_path: Path, what: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = home / "sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    hold(world, listener)
    states = world.capture(unix_socket)
    world.kill()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        if what == "bound":
            other.bind(str(path))
        elif what == "file":
            path.touch()
        else:
            home.rmdir()
        with pytest.raises(RestoreError, match=r"the address .* of a unix socket") as raised:
            world.restore(unix_socket, states)
    assert raised.value.stage == "CLAIM"
    assert path.exists() == (what != "directory")
    listener.detach()


def test_poll_sees_what_waits(world: World, pair) -> None:
    a, b = pair(STREAM)
    a.send(b"x")
    hold(world, a, b)
    world.round_trip(unix_socket)
    assert select.select([a, b], [], [], 0)[0] == [b]

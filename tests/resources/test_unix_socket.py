"""The unix_socket room: queues, closed peers, names, connections, and what is refused."""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import struct
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace.errors import UnsupportedResource
from zaptrace.resources import unix_socket
from zaptrace.resources.common.libc import libc
from zaptrace.resources.common.socket import get_filter, set_filter

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


def test_a_peer_outside(world: World, pair) -> None:
    a, b = pair(STREAM)
    hold(world, a)
    with b, pytest.raises(UnsupportedResource, match="outside the pod"):
        world.capture(unix_socket)


def test_an_out_of_band_byte_that_may_be_one_of_two(world: World, pair) -> None:
    a, b = pair(STREAM)
    for text in (b"a", b"!c"):
        socket.send_fds(a, [text], [0])
    a.send(b"!", socket.MSG_OOB)
    hold(world, a, b)
    with pytest.raises(UnsupportedResource, match="out-of-band"):
        world.capture(unix_socket)


def received(sock: socket.socket, most: int = 99) -> tuple[bytes, list[int]]:
    data, fds, _, _ = socket.recv_fds(sock, most, 9, socket.MSG_DONTWAIT)
    return data, list(fds)


@pytest.mark.parametrize("kind", KINDS)
def test_files_under_way(world: World, pair, kind: int) -> None:
    a, b = pair(kind)
    held, lost = os.eventfd(5), os.eventfd(7)
    a.send(b"plain")
    socket.send_fds(a, [b"both"], [held, lost, held])
    socket.send_fds(a, [b"one"], [lost])
    os.close(lost)
    hold(world, a, b)
    world.hold(held)
    states = world.capture(unix_socket)
    assert states == world.capture(unix_socket)
    ids = [file.id for file in world.pod.all_files]
    assert len(ids) == 4, "both sockets, and one file that nobody has, found once"
    to_b = next(s for s in states if s.queue)
    assert [(m.data, m.files) for m in to_b.queue] == [
        (b"plain", []),
        (b"both", [ids[2], ids[3], ids[2]]),
        (b"one", [ids[3]]),
    ]
    world.kill()
    world.restore(unix_socket, states)
    assert received(b, 5) == (b"plain", [])
    data, first = received(b)
    assert data == b"both"
    data, second = received(b)
    assert data == b"one"
    os.eventfd_write(first[0], 1)
    assert os.eventfd_read(held) == 6
    os.eventfd_write(second[0], 1)
    assert os.eventfd_read(first[1]) == 8
    for fd in (*first, *second):
        os.close(fd)


def test_a_piece_of_a_stream_begins_where_it_was_sent(world: World, pair) -> None:
    """Also one of a single byte, and after many."""
    a, b = pair(STREAM)
    fd = os.eventfd(0)
    for size in (1, 2, 30000):
        a.send(b"x" * 1000)
        a.send(b"y" * 7)
        socket.send_fds(a, [b"z" * size], [fd])
        socket.send_fds(a, [b"v" * size], [fd])
    hold(world, a, b)
    world.round_trip(unix_socket)
    for size in (1, 2, 30000):
        assert received(b, 1007) == (b"x" * 1000 + b"y" * 7, [])
        for letter in (b"z", b"v"):
            data, (got,) = received(b, 1 << 20)
            assert data == letter * size
            os.close(got)
    os.close(fd)


def test_a_socket_in_its_own_queue(world: World, pair) -> None:
    a, b = pair(DGRAM)
    socket.send_fds(a, [b"you"], [b.fileno()])
    hold(world, a, b)
    (_, to_b) = sorted(world.round_trip(unix_socket), key=lambda s: len(s.queue))
    assert to_b.queue[0].files == [to_b.file_id]
    _, (fd,) = received(b)
    with socket.socket(fileno=fd) as again:
        a.send(b"round")
        assert again.recv(9) == b"round"


def test_senders(world: World, pair) -> None:
    """Only those are told that the kernel noted; SO_PASSCRED is off again after a look."""
    a, b = pair(STREAM)
    ucred = struct.pack("iII", os.getpid(), os.getuid(), os.getgid())
    a.send(b"before")
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    a.send(b"after")
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    a.sendmsg([b"by hand"], [(socket.SOL_SOCKET, 2, ucred)])
    hold(world, a, b)
    states = world.round_trip(unix_socket)
    (queue,) = [s.queue for s in states if s.queue]
    assert [(m.data, m.sender and m.sender.vpid) for m in queue] == [
        (b"before", None),
        (b"afterby hand", 7),
    ]
    assert b.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED) == 0
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    for wanted, pid in ((b"before", 0), (b"afterby hand", os.getpid())):
        data, ((_, _, told),) = b.recvmsg(99, 99)[:2]
        assert data == wanted
        assert struct.unpack("iII", told)[0] == pid


@pytest.mark.parametrize("how", ["filter", "locked filter"])
def test_filter(world: World, pair, how: str) -> None:
    a, b = pair(DGRAM)
    only_4_bytes = struct.pack("HBBI", 6, 0, 0, 4)  # ret #4
    set_filter(b, only_4_bytes)
    if how == "locked filter":
        b.setsockopt(socket.SOL_SOCKET, 44, 1)
    a.send(b"truncated")
    hold(world, a, b)
    world.round_trip(unix_socket)
    a.send(b"truncated")
    assert [b.recv(99), b.recv(99)] == [b"trun", b"trun"]
    assert get_filter(b) == only_4_bytes
    assert get_filter(a) == b""
    if how == "locked filter":
        with pytest.raises(PermissionError):
            set_filter(b, only_4_bytes)


def test_a_connection_that_waits_outside(world: World, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(tmp_path / "sock"))
        hold(world, client)
        with pytest.raises(UnsupportedResource, match="outside the pod"):
            world.capture(unix_socket)
    client.detach()


def test_datagram_sockets_in_a_row(world: World, tmp_path: Path) -> None:
    """Each sends to the next: one that has a peer takes no other, so their order counts."""
    socks = [socket.socket(socket.AF_UNIX, DGRAM) for _ in range(4)]
    for n, sock in enumerate(socks):
        sock.bind(str(tmp_path / str(n)))
    for n, sock in enumerate(socks[:-1]):
        sock.connect(str(tmp_path / str(n + 1)))
    socks[2].send(b"queued")
    hold(world, *reversed(socks))
    world.round_trip(unix_socket)
    for n, sock in enumerate(socks[:-1]):
        assert sock.getpeername() == str(tmp_path / str(n + 1))
    assert socks[3].recvfrom(99) == (b"queued", str(tmp_path / "2"))
    for sock in socks:
        sock.detach()


@pytest.mark.parametrize("how", ["unconnected", "elsewhere", "orphaned"])
def test_one_of_a_pair_has_moved_on(world: World, pair, tmp_path: Path, how: str) -> None:
    a, b = pair(DGRAM)
    with socket.socket(socket.AF_UNIX, DGRAM) as server:
        server.bind(str(tmp_path / "server"))
        if how == "unconnected":
            libc.connect(a.fileno(), bytes(16), 16)
        else:
            a.connect(str(tmp_path / "server"))
        if how != "orphaned":
            hold(world, a, b, server)
            world.round_trip(unix_socket)
    if how == "orphaned":
        hold(world, a, b)
        world.round_trip(unix_socket)
    if how == "unconnected":
        b.send(b"to a")
        assert a.recv(9) == b"to a"
    else:
        with pytest.raises(PermissionError):
            b.send(b"to one that has another")
        assert a.getpeername() == str(tmp_path / "server")
    with pytest.raises(OSError, match="not connected" if how == "unconnected" else "refused"):
        a.send(b"x")
    peer = struct.unpack("iII", a.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    assert peer[0] == os.getpid()


@pytest.mark.parametrize("kind", [STREAM, SEQPACKET])
def test_a_listener_that_was_shut(world: World, tmp_path: Path, kind: int) -> None:
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(str(tmp_path / "sock"))
    listener.listen()
    listener.shutdown(socket.SHUT_RD)
    hold(world, listener)
    world.round_trip(unix_socket)
    with pytest.raises(OSError, match="Invalid argument"):
        listener.accept()
    listener.detach()


@pytest.mark.parametrize("kind", KINDS)
def test_neither_bound_nor_connected(world: World, kind: int) -> None:
    plain, shut = (socket.socket(socket.AF_UNIX, kind) for _ in range(2))
    shut.shutdown(socket.SHUT_RDWR)
    hold(world, plain, shut)
    assert [s.status for s in world.round_trip(unix_socket)] == ["unconnected"] * 2
    with pytest.raises(OSError, match="not connected"):
        plain.getpeername()
    if kind == DGRAM:
        assert shut.recv(9) == b""
    plain.detach()
    shut.detach()


def test_poll_sees_what_waits(world: World, pair) -> None:
    a, b = pair(STREAM)
    a.send(b"x")
    hold(world, a, b)
    world.round_trip(unix_socket)
    assert select.select([a, b], [], [], 0)[0] == [b]

"""The unix_socket room: connections that nobody has accepted yet, and what is sent on them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace import resources
from zaptrace.errors import BadImage, Unsettled
from zaptrace.resources import unix_socket
from zaptrace.resources.room import Whole
from zaptrace.resources.unix_socket import diag, unaccepted
from zaptrace.shapes import Seen
from zaptrace.view.kept import Kept

STREAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_SEQPACKET


def hold(world: World, *socks: socket.socket) -> None:
    for sock in socks:
        world.hold(sock.fileno())


@pytest.fixture
def backlog(world: World, tmp_path: Path):
    """A listener with connections that nobody has accepted; both are the pod's."""
    socks: list[socket.socket] = []

    def make(name: str | bytes, clients: int) -> list[socket.socket]:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(name)
        listener.listen(clients)
        listener.setblocking(False)
        socks.extend([listener, *(socket.socket(socket.AF_UNIX) for _ in range(clients))])
        for sock in socks[1:]:
            sock.connect(name)
        hold(world, *socks)
        return socks

    yield make
    for sock in socks:
        sock.detach()


@pytest.mark.parametrize("abstract", [False, True])
def test_connections_that_wait(world: World, tmp_path: Path, backlog, abstract: bool) -> None:
    name = b"\0zaptrace-wait-%d" % os.getpid() if abstract else str(tmp_path / "sock")
    listener, *clients = backlog(name, 3)
    clients[1].shutdown(socket.SHUT_WR)
    for _ in range(2):
        states = world.round_trip(unix_socket)
        (waited_for,) = [s for s in states if s.status == "listening"]
        assert len(waited_for.clients) == 3
    for n, client in enumerate(clients):
        assert client.getpeername() == name
        if n != 1:
            client.send(b"%d" % n)
        server = listener.accept()[0]
        assert server.recv(9) == (b"%d" % n if n != 1 else b"")
        server.send(b"back")
        assert client.recv(9) == b"back"
        server.close()
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_what_was_sent_before_it_was_accepted(world: World, tmp_path: Path, backlog) -> None:
    """Nobody can look at it; so it is left where it is."""
    listener, client = backlog(str(tmp_path / "sock"), 1)
    client.send(b"early")
    with pytest.raises(Unsettled, match="nobody has accepted"):
        world.capture(unix_socket)
    with listener.accept()[0] as server:
        assert server.recv(9) == b"early"


@pytest.mark.parametrize("why", ["outside", "closed"])
def test_connections_whose_client_cannot_be_seen(
    world: World, tmp_path: Path, backlog, why: str
) -> None:
    backlog(str(tmp_path / "sock"), 1)
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(tmp_path / "sock"))
        if why == "closed":
            other.close()
        with pytest.raises(Unsettled, match="other end is not in the pod") as raised:
            world.capture(unix_socket)
    assert ("closed again" if why == "closed" else "outside") in str(raised.value)


def _made_up(states: list[unix_socket.State]) -> Iterator[list[unix_socket.State]]:
    """Images in which something is to be accepted that cannot be."""
    unix_socket.verify(states, Whole({}, Seen()))
    listener, first, *others = sorted(states, key=lambda s: s.status != "listening")
    end = next(s for s in states if s.ino == listener.clients[1])
    client = next(s for s in states if s.ino == end.peer)
    for changed in (
        replace(listener, status="unconnected"),
        replace(listener, clients=[*listener.clients, end.ino]),
        replace(listener, clients=[*listener.clients, client.ino]),
        replace(listener, clients=[listener.ino]),
        replace(end, name=b"another"),
        replace(end, status="orphaned"),
        replace(end, queue=[replace(end.queue[0], files=[end.file_id])]),
    ):
        yield [changed if s.ino == changed.ino else s for s in [listener, first, *others]]


@pytest.mark.parametrize("kind", [STREAM, SEQPACKET])
def test_what_waits_is_accepted_by_us(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    """With all before it and behind it; and what comes later stands behind that."""
    monkeypatch.setattr(unaccepted, "put_on", lambda *_, **__: None)  # nobody traces us
    name, world.keeps = b"\0zaptrace-kept-%d" % os.getpid(), True
    listener, *clients = socks = [socket.socket(socket.AF_UNIX, kind) for _ in range(4)]
    listener.bind(name)
    listener.listen(4)
    listener.setblocking(False)
    for client in clients[:2]:
        client.connect(name)
    with socket.socket(socket.AF_UNIX, kind) as gone:
        gone.connect(name)
        gone.send(b"gone")
    clients[1].send(b"one")
    hold(world, *socks)

    def waiting() -> list[bytes]:
        states = {state.ino: state for state in world.capture(unix_socket)}
        (it,) = [state for state in states.values() if state.status == "listening"]
        return [b"".join(m.data for m in states[ino].queue) for ino in it.clients]

    assert waiting() == [b"", b"one", b"gone"]
    clients[2].connect(name)
    clients[2].send(b"two")
    assert waiting() == waiting() == [b"", b"one", b"gone", b"two"]
    for wrong in _made_up(world.capture(unix_socket)):
        with pytest.raises(BadImage):
            unix_socket.verify(wrong, Whole({}, Seen()))
    world.round_trip(unix_socket)
    for n, data in enumerate([b"", b"one", b"gone", b"two"]):
        server, address = listener.accept()
        assert not address
        if n == 0:
            clients[0].send(b"first")
        assert server.recv(9) == (data or b"first")
        if n == 2:
            assert server.recv(9) == b""
        server.close()
    with pytest.raises(BlockingIOError):
        listener.accept()
    for sock in socks:
        sock.detach()


def test_who_connects_after_the_first_look_is_not_in_the_image(
    world: World, tmp_path: Path, backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod stands still, others do not."""
    name = str(tmp_path / "sock")
    listener, client = backlog(name, 1)
    listener.listen(8)

    with contextlib.ExitStack() as stack:

        def connect(_: object) -> None:
            others = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(4)]
            for other in others:
                other.connect(name)
            others[0].send(b"late")
            others[1].close()
            others[2].close()

        monkeypatch.setattr(resources.regular_file, "refuse_outside", connect)
        states = world.capture(unix_socket)
        unix_socket.verify(states, Whole({}, Seen()))
        (waited_for,) = [s for s in states if s.status == "listening"]
        assert waited_for.clients == [os.fstat(client.fileno()).st_ino]


def test_no_more_are_accepted_by_us_than_waited(world: World, tmp_path: Path, backlog) -> None:
    """Else a crowd that connects again and again would keep us at it."""
    listener, *_ = backlog(str(tmp_path / "sock"), 3)
    world.kept.empty(1, listener, 2)
    assert len(world.kept.connections(1)) == 2
    listener.accept()[0].close()


def test_sockets_that_the_kernel_tells_of_twice_or_not(
    world: World, tmp_path: Path, backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does where others come and go while it tells."""
    ask = diag._ask

    def as_others_come_and_go(ino: int, *, dump: bool) -> Iterator[diag.UnixSocket]:
        told = list(ask(ino, dump=dump))
        return iter([*told[1:], *told[1:]] if dump else told)

    backlog(str(tmp_path / "sock"), 2)
    expected = sorted(world.capture(unix_socket), key=lambda state: state.ino)
    monkeypatch.setattr(diag, "_ask", as_others_come_and_go)
    assert sorted(world.capture(unix_socket), key=lambda state: state.ino) == expected
    monkeypatch.setattr(diag, "_ask", lambda ino, dump: iter([]) if dump else ask(ino, dump=dump))
    assert sorted(world.capture(unix_socket), key=lambda state: state.ino) == expected


def test_a_listener_closed_as_the_pod_stood_still(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose clients have lost what we kept, before they are looked at."""
    monkeypatch.setattr(unaccepted, "put_on", lambda *_, **__: None)
    monkeypatch.setattr(Kept, "_watch", lambda _: None)  # it has not come to it yet
    name, world.keeps = b"\0zaptrace-closed-%d" % os.getpid(), True
    client = socket.socket(socket.AF_UNIX)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen(4)
        client.connect(name)
        client.send(b"early")
        hold(world, listener, client)
        assert [s.status for s in world.capture(unix_socket) if s.bound] == ["listening"]
        world.drop(listener.fileno())
    (state,) = world.capture(unix_socket)
    assert state.status == "orphaned" and state.reset
    client.detach()


@pytest.mark.parametrize("why", ["removed", "forbidden", "signals", "lowered", "shut"])
def test_where_none_of_us_could_wait_instead(
    world: World, tmp_path: Path, backlog, why: str
) -> None:
    """It is left where it is."""
    world.keeps = True
    path = tmp_path / "sock"
    listener, *clients = backlog(str(path), 3)
    clients[0].send(b"early")
    if why == "removed":
        path.unlink()
    elif why == "forbidden":
        path.chmod(0o400)
    elif why == "signals":
        flags = fcntl.fcntl(listener, fcntl.F_GETFL)
        fcntl.fcntl(listener, fcntl.F_SETFL, flags | os.O_ASYNC)
    elif why == "shut":
        listener.shutdown(socket.SHUT_RD)
    else:
        listener.listen(1)
    with pytest.raises(Unsettled, match="nobody has accepted"):
        world.capture(unix_socket)
    with listener.accept()[0] as server:
        assert server.recv(9) == b"early"

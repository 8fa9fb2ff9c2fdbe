"""The inet_socket room: listeners, UDP, ended connections, and what is refused."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
from dataclasses import replace

import pytest

from harness.room_world import World
from zaptrace.errors import BadImage, RestoreError, Unsettled, UnsupportedResource
from zaptrace.linux.native import lib
from zaptrace.resources import inet_socket
from zaptrace.resources.inet_socket import connecting
from zaptrace.resources.inet_socket.address import Address
from zaptrace.resources.room import Whole
from zaptrace.shapes import Seen
from zaptrace.view.build import Deferred

FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


@pytest.fixture
def held(world: World):
    """Make a socket of the pod's; its number outlives it."""
    made = []

    def make(*args: int) -> socket.socket:
        made.append(socket.socket(*args))
        return made[-1]

    yield make
    for sock in made:
        sock.detach()


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_listener(world: World, held, family: int, host: str) -> None:
    sock = held(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 40000)
    sock.bind((host, 0))
    sock.listen(5)
    sock.setblocking(False)
    address = sock.getsockname()
    world.hold(sock.fileno())
    (state,) = world.round_trip(inet_socket)
    assert state.backlog == 5
    assert sock.getsockname() == address
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 80000
    assert not os.get_blocking(sock.fileno())
    os.set_blocking(sock.fileno(), True)
    with socket.create_connection(address[:2]) as client:
        client.send(b"x")
        server = sock.accept()[0]
        assert server.recv(1) == b"x"
        server.close()


def test_both_families_on_one_port(world: World, held) -> None:
    six, four = held(socket.AF_INET6), held(socket.AF_INET)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    six.bind(("::", 0))
    four.bind(("0.0.0.0", six.getsockname()[1]))
    for sock in (six, four):
        sock.listen()
        world.hold(sock.fileno())
    world.round_trip(inet_socket)
    assert four.getsockname()[1] == six.getsockname()[1]


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_udp(world: World, held, family: int, host: str) -> None:
    bound, connected, unbound = (held(family, socket.SOCK_DGRAM) for _ in range(3))
    bound.bind((host, 0))
    connected.connect(bound.getsockname())
    for sock in (bound, connected, unbound):
        world.hold(sock.fileno())
    address = connected.getsockname()
    world.round_trip(inet_socket)
    assert connected.getsockname() == address
    connected.send(b"hello")
    assert bound.recvfrom(9) == (b"hello", address)
    assert unbound.getsockname()[1] == 0


def test_unconnected_tcp(world: World, held) -> None:
    sock, bound = held(socket.AF_INET), held(socket.AF_INET)
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()
    world.hold(sock.fileno())
    world.hold(bound.fileno())
    world.round_trip(inet_socket)
    assert bound.getsockname() == port
    with pytest.raises(OSError, match="not connected"):
        sock.recv(1)


def test_ended_connection(world: World, held) -> None:
    sock = held(socket.AF_INET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock.connect(server.getsockname())
        other = server.accept()[0]
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
    with contextlib.suppress(ConnectionResetError):
        sock.recv(1)
    world.hold(sock.fileno())
    (state,) = world.round_trip(inet_socket)
    assert state.status == "ended"
    assert sock.recv(1) == b""


def test_refusals(world: World, held) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = held(socket.AF_INET)
        sock.connect(server.getsockname())
        world.hold(sock.fileno())
        with pytest.raises(UnsupportedResource, match="is a TCP connection") as raised:
            world.capture(inet_socket)
    assert "127.0.0.1:" in str(raised.value)
    assert "ESTABLISHED" in str(raised.value)


def test_claim(world: World, held) -> None:
    sock = held(socket.AF_INET)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    port = sock.getsockname()[1]
    world.hold(sock.fileno())
    states = world.capture(inet_socket)
    world.kill()
    with (
        socket.create_server(("127.0.0.1", port), reuse_port=False),
        pytest.raises(RestoreError, match=f"bound to 127.0.0.1:{port}") as raised,
    ):
        world.restore(inet_socket, states)
    assert raised.value.stage == "CLAIM"


def test_an_error_that_was_not_read(world: World, held) -> None:
    """To look at it would be to take it; here it has a queue, and may be any."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = server.getsockname()
    ip_recverr, msg_errqueue = 11, 0x2000
    sock = held(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_IP, ip_recverr, 1)
    sock.connect(nobody)
    sock.send(b"to nobody")
    select.select([sock], [], [], 5)
    world.hold(sock.fileno())
    with pytest.raises(UnsupportedResource, match="not read yet"):
        world.capture(inet_socket)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    assert sock.recvmsg(16, 512, msg_errqueue)[0] == b"to nobody"
    world.capture(inet_socket)


def test_a_reset_that_may_be_another_error(world: World, held) -> None:
    """Some was read, and some not: then nothing says whether the other side had come to an end before."""
    sock = held(socket.AF_INET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock.connect(server.getsockname())
        other = server.accept()[0]
        other.send(b"read, and not")
        assert sock.recv(4) == b"read"
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
    select.select([], [], [sock], 0)
    world.hold(sock.fileno())
    with pytest.raises(Unsettled, match="TCP connection with an error that was not read yet"):
        world.capture(inet_socket)
    assert sock.recv(99) == b", and not"
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    assert world.capture(inet_socket)[0].status == "ended"


@pytest.mark.parametrize("option, value", [(29, 1), (64, 1), (37, 1 << 3 | 1 << 4)])
def test_when_a_datagram_came(world: World, held, option: int, value: int) -> None:
    """SO_TIMESTAMP, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPING: what is sent again comes at another time."""
    sock = held(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, option, value)
    world.hold(sock.fileno())
    world.capture(inet_socket)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"now", sock.getsockname())
        with pytest.raises(Unsettled, match="to tell when each was received"):
            world.capture(inet_socket)
    assert sock.recv(99) == b"now"
    world.capture(inet_socket)


def test_a_datagram_that_is_begun(world: World, held) -> None:
    """Nobody can look at what is put together there."""
    sock = held(socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        sock.connect(other.getsockname())
        sock.send(b"half of it", socket.MSG_MORE)
        world.hold(sock.fileno())
        with pytest.raises(Unsettled, match="a datagram that was not sent yet"):
            world.capture(inet_socket)
        sock.send(b", and the rest")
        assert other.recv(99) == b"half of it, and the rest"
    world.capture(inet_socket)


def test_a_port_that_is_somebody_elses_until_the_thaw(world: World, held) -> None:
    """The pod's own connections have it by then: they are in the way of nobody."""
    server, client = held(socket.AF_INET), held(socket.AF_INET)
    server.bind(("0.0.0.0", 0))
    server.listen()
    port = server.getsockname()[1]
    client.connect(("127.0.0.1", port))
    accepted, _ = server.accept()
    ends = [server, client, accepted]
    names = [end.getsockname() for end in ends]
    world.hold(*(end.fileno() for end in ends))
    states = world.capture(inet_socket)
    for end in (client, accepted):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    world.kill()
    thief = socket.create_server(("127.0.0.9", port))  # of all addresses, and not of theirs
    world.restore(inet_socket, states, contended=True, before_thaw=[Deferred(thief.close)])
    assert [end.getsockname() for end in ends] == names
    client.send(b"still there")
    assert accepted.recv(99) == b"still there"
    assert not any(end.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) for end in ends)
    with socket.create_connection(("127.0.0.1", port)):
        server.accept()[0].close()
    accepted.detach()


def test_connections_whose_turn_nobody_can_tell(world: World, held) -> None:
    """Which of the listeners of a port has it, a program chooses."""
    server, other, client = held(socket.AF_INET), held(socket.AF_INET), held(socket.AF_INET)
    for sock in (server, other):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(server.getsockname() if sock is other else ("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
    client.connect(server.getsockname())
    world.hold(*(sock.fileno() for sock in (server, other, client)))
    note(world, server, socket.SOL_SOCKET, 51, struct.pack("HBBI", 6, 0, 0, 1))
    with pytest.raises(Unsettled, match="whose turn nobody can tell"):
        world.capture(inet_socket)
    (has_it,) = select.select([server, other], [], [], 0)[0]
    accepted, _ = has_it.accept()
    world.hold(accepted.fileno())
    assert len(world.capture(inet_socket)) == 4
    accepted.detach()


@pytest.mark.parametrize("chosen", [False, True])
def test_a_port_that_is_somebody_elses(world: World, held, chosen: bool) -> None:
    """At the thaw there is no way back; and one that the kernel chose is known to the pod alone."""
    sock = held(socket.AF_INET)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    name = sock.getsockname()
    world.hold(sock.fileno())
    if chosen:
        note(world, sock, 0xFFFF_FFFF, 1, b"")
    (state,) = world.capture(inet_socket)
    assert state.chosen == chosen
    world.kill()
    with socket.create_server(name) as thief:
        world.restore(inet_socket, [state], contended=not chosen, no_way_back=not chosen)
        assert sock.getsockname() != name
        (again,) = world.capture(inet_socket)
        assert again.local.raw(socket.AF_INET) == name
        assert again.chosen == chosen
        thief.setblocking(False)
        with socket.create_connection(sock.getsockname()), pytest.raises(BlockingIOError):
            thief.accept()
        sock.accept()[0].close()


def test_a_connection_that_another_host_does_not_answer(world: World, held, monkeypatch) -> None:
    sock = held(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    with socket.socket() as server, socket.socket() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting.connect(server.getsockname())
        with pytest.raises(BlockingIOError):
            sock.connect(server.getsockname())
        world.hold(sock.fileno())
        (state,) = world.capture(inet_socket)
        assert (state.status, state.peer.raw(2)) == ("connecting", server.getsockname())
        monkeypatch.setattr(connecting, "whom_it_asks", lambda *_: Address("192.0.2.1", 9, 0, 0))
        with pytest.raises(UnsupportedResource, match="that is being made") as refused:
            world.capture(inet_socket)
    assert "to 192.0.2.1:9" in refused.value.found


def test_what_getsockopt_does_not_show(world: World, held) -> None:
    """As the lower half notes it: of a socket, and no other."""
    sock, other = held(socket.AF_INET, socket.SOCK_DGRAM), held(socket.AF_INET, socket.SOCK_DGRAM)
    world.hold(sock.fileno(), other.fileno())
    value = struct.pack("4s4si", bytes(4), bytes(4), socket.if_nametoindex("lo"))
    note(world, sock, socket.IPPROTO_IP, 32, value)
    states = world.round_trip(inet_socket)
    assert [len(state.unseen) for state in states] == [1, 0]
    assert [s.unseen for s in world.capture(inet_socket)] == [s.unseen for s in states]
    note(world, other, socket.SOL_SOCKET, 52, b"")
    with pytest.raises(UnsupportedResource, match="by a program of eBPF"):
        world.capture(inet_socket)


def note(world: World, sock: socket.socket, level: int, option: int, value: bytes) -> None:
    key = struct.pack("=QII", os.fstat(sock.fileno()).st_ino, level, option)
    store = lib.zt_pod_store(world.handle)
    assert not lib.zt_store_put(store, b"inet_socket", key, len(key), value, len(value))


def test_a_filter_among_listeners(world: World, held) -> None:
    """SO_ATTACH_REUSEPORT_CBPF: all connections to the second."""
    socks = [held(socket.AF_INET) for _ in range(2)]
    port = 0
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        port = sock.getsockname()[1]
        sock.listen()
        sock.setblocking(False)
        world.hold(sock.fileno())
    note(world, socks[0], socket.SOL_SOCKET, 51, struct.pack("HBBI", 6, 0, 0, 1))
    world.round_trip(inet_socket)
    for _ in range(8):
        with socket.create_connection(("127.0.0.1", port)):
            socks[1].accept()[0].close()


def test_datagrams_of_nobody_here_are_let_go(world: World, held) -> None:
    sock = held(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    world.hold(sock.fileno())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        sender.sendto(b"first", sock.getsockname())
        sender.sendto(b"second", sock.getsockname())
        source = sender.getsockname()
    (state,) = world.capture(inet_socket)
    far = replace(state.queue[0].source, host="198.51.100.1")
    world.kill()
    queue = [replace(state.queue[0], source=far), state.queue[1]]
    world.restore(inet_socket, [replace(state, queue=queue)])
    assert sock.recvfrom(99) == (b"second", source)
    with pytest.raises(BlockingIOError):
        sock.recv(1, socket.MSG_DONTWAIT)


def test_who_waits_at_one_of_several_waits_at_a_listener(world: World, held) -> None:
    server, other, client = held(socket.AF_INET), held(socket.AF_INET), held(socket.AF_INET)
    for sock in (server, other):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(server.getsockname() if sock is other else ("127.0.0.1", 0))
        sock.listen()
    client.connect(server.getsockname())
    world.hold(*(sock.fileno() for sock in (server, other, client)))
    states = world.capture(inet_socket)
    inet_socket.verify(states, Whole({}, Seen()))
    (waits,) = [state for state in states if state.turn]
    assert waits.turn and waits.turn.listener >= 0
    wrong = replace(waits, turn=replace(waits.turn, listener=waits.file_id))
    with pytest.raises(BadImage, match="by one that does not listen"):
        inet_socket.verify([*(s for s in states if s is not waits), wrong], Whole({}, Seen()))

"""The unix_socket room: where the files of sockets are, and who has them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.linux.native import lib
from zaptrace.resources import unix_socket
from zaptrace.resources.unix_socket import diag, names

DGRAM = socket.SOCK_DGRAM


def hold(world: World, *socks: socket.socket) -> None:
    for sock in socks:
        world.hold(sock.fileno())


def note(world: World, sock: socket.socket, directory: Path) -> None:
    """As the lower half does at a bind to a relative path."""
    key = struct.pack("=Q", os.fstat(sock.fileno()).st_ino)
    at = os.fsencode(directory)
    store = lib.zt_pod_store(world.handle)
    assert not lib.zt_store_put(store, b"unix_socket", key, len(key), at, len(at))


def stream_at(path: Path | str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


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
    monkeypatch.chdir("/")
    note(world, listener, tmp_path)
    for _ in range(2):
        world.round_trip(unix_socket)
        assert listener.getsockname() == "sock"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "sock"))
            listener.accept()[0].close()
    assert sorted(os.listdir(tmp_path)) == ["image", "sock"]
    listener.detach()


def test_relative_paths_of_one_directory(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process is forked for all of them, not one for each; two of them have had the same name."""
    monkeypatch.chdir(tmp_path)
    called = ["one", "two", "one", "three"]
    socks = [socket.socket(socket.AF_UNIX, DGRAM) for _ in called]
    for sock, name in zip(socks, called, strict=True):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        sock.bind(name)
    hold(world, *socks)
    monkeypatch.chdir("/")
    for sock in socks:
        note(world, sock, tmp_path)
    forks: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forks.append(pid := fork()) or pid)
    world.round_trip(unix_socket)
    assert len(forks) == 1
    assert [sock.getsockname() for sock in socks] == called
    assert sorted(os.listdir(tmp_path)) == ["image", "one", "three", "two"]
    socks[1].connect(str(tmp_path / "one"))
    socks[1].send(b"the later one")
    assert socks[2].recv(99) == b"the later one"
    for sock in socks:
        sock.detach()


def test_of_names_that_cannot_all_be_bound_no_file_is_left(tmp_path: Path) -> None:
    within = names.Directories()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
        with pytest.raises(OSError, match="too long"):
            names.bind_each(socks, [b"one", b"two" * 50, b"three"], os.fsencode(tmp_path), within)
    assert not os.listdir(tmp_path)


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


@pytest.mark.parametrize("what", ["bound", "renamed", "file", "directory"])
def test_claim(world: World, tmp_path: Path, what: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = home / "sock"
    listener = stream_at(path)
    hold(world, listener)
    states = world.capture(unix_socket)
    world.kill()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        if what == "bound":
            other.bind(str(path))
        elif what == "renamed":  # its name tells nothing
            other.bind(str(home / "elsewhere"))
            os.rename(home / "elsewhere", path)
        elif what == "file":
            path.touch()
        else:
            home.rmdir()
        with pytest.raises(RestoreError, match=r"the address .* of a unix socket") as raised:
            world.restore(unix_socket, states)
    assert raised.value.stage == "CLAIM"
    assert path.exists() == (what != "directory")
    listener.detach()


def come(path: Path) -> socket.socket:
    """Somebody else has that path by now; its socket has another name."""
    rival = stream_at(path.with_name("rival"))
    os.rename(path.with_name("rival"), path)
    return rival


def hidden(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(".zt-")]


def test_the_living_keep_their_place(world: World, tmp_path: Path) -> None:
    """In a contended build the file waits beside it until the thaw, and then is not forced in."""
    path = tmp_path / "sock"
    listener = stream_at(path)
    hold(world, listener)
    states = world.capture(unix_socket)
    world.kill()
    path.unlink()
    seen: list[list[str]] = []
    with come(path) as rival:
        with pytest.raises(OSError, match="in use"):
            world.restore(
                unix_socket, states, contended=True, last=[lambda: seen.append(hidden(tmp_path))]
            )
        assert len(seen[0]) == 1
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            rival.accept()[0].close()
    listener.detach()


def test_our_former_self_leaves_its_place(world: World, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    listener = stream_at(path)
    hold(world, listener)
    states = world.capture(unix_socket)
    world.kill()
    path.unlink()
    former = come(path)
    world.restore(unix_socket, states, contended=True, last=[former.close])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        listener.accept()[0].close()
    assert sorted(os.listdir(tmp_path)) == ["image", "sock"]
    listener.detach()


def test_nothing_is_left_of_a_restore_that_fails(world: World, tmp_path: Path) -> None:
    listener = stream_at(tmp_path / "sock")
    hold(world, listener)
    states = world.capture(unix_socket)
    world.kill()

    def fail() -> None:
        assert not hidden(tmp_path)
        raise RestoreError("something else did not come back")

    with pytest.raises(RestoreError, match="something else"):
        world.restore(unix_socket, states, last=[fail])
    assert os.listdir(tmp_path) == ["image"]
    listener.detach()


def test_a_file_that_stands_where_one_was_bound(world: World, tmp_path: Path) -> None:
    listener = stream_at(tmp_path / "sock")
    os.rename(tmp_path / "sock", tmp_path / "here")
    (tmp_path / "sock").write_text("mine")
    hold(world, listener)
    (state,) = world.round_trip(unix_socket)
    assert state.place == b"here"
    assert (tmp_path / "sock").read_text() == "mine"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "here"))
    assert listener.getsockname() == str(tmp_path / "sock")
    assert sorted(os.listdir(tmp_path)) == ["here", "image", "sock"]
    listener.detach()


def test_a_name_whose_directory_is_gone(world: World, tmp_path: Path) -> None:
    """What is known by no path needs none; a name that begins at the root needs it for a moment."""
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    listener = stream_at(home / "sock")
    os.unlink(home / "sock")
    home.rmdir()
    home.parent.rmdir()
    hold(world, listener)
    world.round_trip(unix_socket)
    assert listener.getsockname() == str(home / "sock")
    assert os.listdir(tmp_path) == ["image"]
    listener.detach()


def test_a_full_path(world: World, tmp_path: Path) -> None:
    """As long as an address can be; what we add to it has to go elsewhere."""
    base = str(tmp_path / "x")
    path = base + "x" * (107 - len(base))
    listener = stream_at(path)
    hold(world, listener)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    server = listener.accept()[0]
    hold(world, client, server)
    world.round_trip(unix_socket)
    assert client.getpeername() == path
    client.send(b"x")
    assert server.recv(1) == b"x"
    for sock in (client, server, listener):
        sock.detach()


def test_a_datagram_service_that_was_renamed(world: World, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, DGRAM) as service:
        service.bind(str(tmp_path / "log.new"))
        os.rename(tmp_path / "log.new", tmp_path / "log")
        client = socket.socket(socket.AF_UNIX, DGRAM)
        client.connect(str(tmp_path / "log"))
        hold(world, client)
        (state,) = world.round_trip(unix_socket)
        assert state.peer_path == os.fsencode(tmp_path / "log")
        client.send(b"entry")
        assert service.recv(99) == b"entry"
        os.unlink(tmp_path / "log")
        with pytest.raises(UnsupportedResource, match="cannot be found again"):
            world.capture(unix_socket)
    client.detach()


@pytest.mark.parametrize("mode", [0o600, 0o000])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, DGRAM, socket.SOCK_SEQPACKET])
def test_a_living_socket_of_whatever_name_and_mode_keeps_its_file(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int, mode: int
) -> None:
    """Of another network namespace, say, where it is in no list that we see."""
    path = tmp_path / "sock"
    listener = stream_at(path)
    hold(world, listener)
    states = world.capture(unix_socket)
    world.kill()
    path.unlink()
    monkeypatch.setattr(diag, "everything", list)
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(tmp_path / "elsewhere"))
        os.rename(tmp_path / "elsewhere", path)
        os.chmod(path, mode)
        inode = path.stat().st_ino
        with pytest.raises((RestoreError, OSError), match=r"in use|unix socket"):
            world.restore(unix_socket, states)
        assert path.stat().st_ino == inode
        assert path.stat().st_mode & 0o777 == mode
    assert sorted(os.listdir(tmp_path)) == ["image", "sock"]
    listener.detach()


@pytest.mark.parametrize("mode", [0o600, 0o000])
def test_a_stale_file_of_whatever_mode_is_replaced(world: World, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "sock"
    listener = stream_at(path)
    hold(world, listener)
    states = world.capture(unix_socket)
    world.kill()
    os.chmod(path, mode)
    world.restore(unix_socket, states)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    assert sorted(os.listdir(tmp_path)) == ["image", "sock"]
    listener.detach()

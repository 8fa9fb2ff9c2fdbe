"""The pipe room: contents, packets, half-closed and named pipes, ends outside the pod."""

from __future__ import annotations

import errno
import fcntl
import os
import select
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.resources import pipe


def test_contents(world: World) -> None:
    r, w = os.pipe()
    os.write(w, b"first ")
    os.write(w, b"second")
    world.hold(r)
    world.hold(w)
    assert world.capture(pipe) == world.capture(pipe)
    world.round_trip(pipe)
    assert os.read(r, 100) == b"first second"
    os.write(w, b"more")
    assert os.read(r, 100) == b"more"


def test_full_and_large(world: World) -> None:
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 1 << 18)
    os.set_blocking(w, False)
    data = os.urandom(1 << 18)
    assert os.write(w, data) == len(data)
    world.hold(r)
    world.hold(w)
    world.round_trip(pipe)
    assert fcntl.fcntl(r, fcntl.F_GETPIPE_SZ) == 1 << 18
    assert os.get_blocking(r)
    assert not os.get_blocking(w)
    with pytest.raises(BlockingIOError):
        os.write(w, b"x")
    got = b""
    while len(got) < len(data):
        got += os.read(r, 1 << 20)
    assert got == data


def test_many_small_writes(world: World) -> None:
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096 * 4)
    os.set_blocking(w, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(w, b"x" * 3000)
    world.hold(r)
    world.hold(w)
    (state,) = world.round_trip(pipe)
    assert os.read(r, 1 << 20) == b"".join(state.contents)


def test_packets(world: World) -> None:
    r, w = os.pipe2(os.O_DIRECT)
    for packet in (b"one", b"two", b"three"):
        os.write(w, packet)
    world.hold(r)
    world.hold(w)
    world.round_trip(pipe)
    os.write(w, b"four")
    assert [os.read(r, 100) for _ in range(4)] == [b"one", b"two", b"three", b"four"]


def test_writers_gone(world: World) -> None:
    r, w = os.pipe()
    os.write(w, b"last words")
    os.close(w)
    world.hold(r)
    world.round_trip(pipe)
    assert os.read(r, 100) == b"last words"
    assert os.read(r, 100) == b""
    assert select.select([r], [], [], 0)[0]


def test_readers_gone(world: World) -> None:
    r, w = os.pipe()
    os.close(r)
    world.hold(w)
    world.round_trip(pipe)
    with pytest.raises(BrokenPipeError):
        os.write(w, b"x")


def test_several_descriptions(world: World) -> None:
    r, w = os.pipe()
    again = os.open(f"/proc/self/fd/{r}", os.O_RDONLY | os.O_NONBLOCK)
    both = os.open(f"/proc/self/fd/{r}", os.O_RDWR)
    os.write(w, b"abcdef")
    for fd in (r, w, again, both):
        world.hold(fd)
    world.round_trip(pipe)
    assert os.get_blocking(r)
    assert not os.get_blocking(again)
    assert os.read(again, 3) == b"abc"
    assert os.read(both, 1) == b"d"
    os.write(both, b"g")
    assert os.read(r, 9) == b"efg"


def test_flags_are_the_same(world: World) -> None:
    r, w = os.pipe2(os.O_NONBLOCK)
    before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (r, w)]
    world.hold(r)
    world.hold(w)
    world.round_trip(pipe)
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (r, w)] == before


@pytest.mark.parametrize("inside", [0, 1])
def test_an_end_outside_is_refused(world: World, inside: int) -> None:
    ends = os.pipe()
    world.hold(ends[inside])
    with pytest.raises(UnsupportedResource, match="pipe to a process outside the pod"):
        world.capture(pipe)
    os.close(ends[1 - inside])


def test_fifo(world: World, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    w = os.open(path, os.O_WRONLY)
    os.write(w, b"through a name")
    world.hold(r)
    world.hold(w)
    world.round_trip(pipe)
    assert os.readlink(f"/proc/self/fd/{w}") == str(path)
    assert os.read(r, 100) == b"through a name"


def test_a_fifo_that_nobody_has_written_to(world: World, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    world.hold(r)
    world.round_trip(pipe)
    assert os.read(r, 1) == b""


def test_a_fifo_that_is_gone_fails_the_claim(world: World, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    world.hold(os.open(path, os.O_RDWR))
    states = world.capture(pipe)
    world.kill()
    path.unlink()
    with pytest.raises(RestoreError, match="named pipe") as raised:
        world.restore(pipe, states)
    assert raised.value.stage == "CLAIM"
    assert os.strerror(errno.ENOENT) in str(raised.value)


def test_ends_that_were_opened_again_keep_their_flags(world: World) -> None:
    """Those have O_LARGEFILE, whichever of them comes first; what pipe(2) made has not."""
    again = os.open("/dev/null", os.O_RDONLY)
    r, w = os.pipe()
    opened = os.open(f"/proc/self/fd/{r}", os.O_RDONLY)
    os.dup2(opened, again)
    os.close(opened)
    before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (again, r, w)]
    for fd in (again, r, w):
        world.hold(fd)
    world.round_trip(pipe)
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (again, r, w)] == before


def test_a_user_with_many_pipes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has more than fs.pipe-user-pages-soft gets small ones from then on, and none may grow."""
    small, large = os.pipe(), os.pipe()
    fcntl.fcntl(small[1], fcntl.F_SETPIPE_SZ, 4096)
    fcntl.fcntl(large[1], fcntl.F_SETPIPE_SZ, 1 << 17)
    world.hold(*small)
    world.hold(*large)
    states = world.capture(pipe)
    assert [state.capacity for state in states] == [4096, 1 << 17]
    asked: list[int] = []
    real = fcntl.fcntl

    def limited(fd: int, command: int, value: int = 0) -> int:
        if command == fcntl.F_SETPIPE_SZ:
            asked.append(value)
            if value > 1 << 16 and denied:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return real(fd, command, value)

    monkeypatch.setattr(pipe.fcntl, "fcntl", limited)
    denied = False
    world.kill()
    world.restore(pipe, states)
    assert asked == [1 << 17, 4096]  # the largest while there is room
    denied = True
    states = world.capture(pipe)
    world.kill()
    with pytest.raises(RestoreError, match="a pipe of 131072 bytes") as raised:
        world.restore(pipe, states)
    assert "pages" in str(raised.value)
    states = world.capture(pipe)
    world.kill()
    world.restore(pipe, states, rehearsal=True)  # the original has them

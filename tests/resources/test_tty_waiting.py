"""What waits in a terminal is taken and put back: as much as there can be, in every state of it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import termios

import pytest

from harness.room_world import World
from zaptrace.errors import UnsupportedResource
from zaptrace.resources import tty
from zaptrace.resources.tty import waiting
from zaptrace.resources.tty.ends import TIOCGPKT, events, number, set_number, wait_until
from zaptrace.resources.tty.waiting import split

BUFFER = 4095
LINE = b"x" * 62 + b"y\n"
SIZES = (1, 7, 64, 256, 300, 1000, 1792, 4096, 65536)
STOP, START = b"\x13", b"\x11"


@pytest.fixture
def ends(world: World) -> tuple[int, int]:
    master, slave = pty.openpty()
    for fd in (master, slave):
        world.hold(fd)
        os.set_blocking(fd, False)
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    return master, slave


def local(slave: int, *, off: int = 0, on: int = 0) -> None:
    attributes = termios.tcgetattr(slave)
    attributes[3] = attributes[3] & ~off | on
    termios.tcsetattr(slave, termios.TCSANOW, attributes)


def writable(fd: int) -> bool:
    return bool(events(fd, select.POLLOUT) & select.POLLOUT)


def fill(fd: int, data: bytes, size: int) -> int:
    """As much as goes in, in writes of `size`."""
    done = 0
    while done < len(data):
        try:
            done += os.write(fd, data[done : done + size])
        except BlockingIOError:
            if not wait_until(lambda: writable(fd), 0.05):
                break
    return done


def drain(fd: int) -> bytes:
    got = b""
    while events(fd) & select.POLLIN:
        got += os.read(fd, 65536)
    return got


def count(slave: int) -> int:
    return number(slave, termios.FIONREAD)


def unchanged(world: World, slave: int) -> None:
    """By two checkpoints and a restore."""
    before = termios.tcgetattr(slave)
    assert world.capture(tty) == world.capture(tty)
    assert termios.tcgetattr(slave) == before
    world.round_trip(tty)
    assert termios.tcgetattr(slave) == before


@pytest.mark.parametrize("size", SIZES)
def test_more_is_typed_than_the_buffer_takes(
    world: World, ends: tuple[int, int], size: int
) -> None:
    master, slave = ends
    local(slave, off=termios.ECHO | termios.ICANON | termios.ISIG)
    everything = b"".join(b"%d," % i for i in range(10_000))
    done = fill(master, everything, size)
    assert done > 3 * BUFFER
    unchanged(world, slave)
    assert drain(slave) == everything[:done]
    assert not os.get_blocking(master)


@pytest.mark.parametrize("size", SIZES)
def test_more_lines_are_typed_than_the_buffer_takes(
    world: World, ends: tuple[int, int], size: int
) -> None:
    """Each is shown once: in the buffer it was already, behind it not yet."""
    master, slave = ends
    local(slave, off=termios.ECHOCTL, on=termios.ECHO)
    done = fill(master, LINE * 1000, size)
    assert done > 3 * BUFFER
    unchanged(world, slave)
    lines = shown = b""
    while events(slave) & select.POLLIN:
        lines += os.read(slave, 4096)
        shown += drain(master)
    whole = (LINE * 1000)[:done]
    assert lines == whole[: whole.rindex(b"\n") + 1]
    os.write(master, b"|\n")
    assert wait_until(lambda: count(slave) > 0, 5)
    assert os.read(slave, 4096) == whole[len(lines) :] + b"|\n"
    assert shown + drain(master) == whole + b"|\n"


def test_what_is_behind_the_buffer_is_not_looked_at(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    local(slave, off=termios.ECHO)
    line = b"z" * (BUFFER - 1) + b"\n"
    assert fill(master, line + b"gone\x15kept\nrest", 4096) == BUFFER + 14
    assert wait_until(lambda: count(slave) == BUFFER, 5)
    (state,) = world.capture(tty)
    assert state.waiting == waiting.Input([line], b"", b"gone\x15kept\nrest")
    unchanged(world, slave)
    assert os.read(slave, 4096) == line
    assert wait_until(lambda: count(slave) > 0, 5)
    assert os.read(slave, 4096) == b"kept\n"


def test_a_buffer_that_was_read_in_part(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    local(slave, off=termios.ECHO)
    done = fill(master, LINE * 1000, 1000)
    for _ in range(40):
        assert os.read(slave, 4096) == LINE
    world.capture(tty)
    world.round_trip(tty)
    lines = [LINE] * ((done - 40 * 64) // 64)
    got = []
    while events(slave) & select.POLLIN:
        got.append(os.read(slave, 4096))
    assert got == lines


@pytest.mark.parametrize("size", SIZES)
def test_output_that_nobody_reads(world: World, ends: tuple[int, int], size: int) -> None:
    master, slave = ends
    local(slave, off=termios.ECHO)
    everything = os.urandom(1 << 16)
    done = fill(slave, everything, size)
    assert done > 3 * BUFFER
    os.write(master, b"line\nrest")
    assert wait_until(lambda: count(slave) == 5, 5)
    unchanged(world, slave)
    assert drain(master) == everything[:done]
    assert os.read(slave, 99) == b"line\n"


def test_an_echo_without_a_place(world: World, ends: tuple[int, int]) -> None:
    """It comes behind the output that had it, and once."""
    master, slave = ends
    done = fill(slave, LINE * 1000, 300)
    os.write(master, b"typed\n")
    assert wait_until(lambda: count(slave) == 6, 5)
    world.capture(tty)
    world.round_trip(tty)
    assert drain(master) == (LINE * 1000)[:done] + b"typed\n"
    assert os.read(slave, 99) == b"typed\n"


@pytest.mark.parametrize("unread", [b"", b"not read\n", LINE * 1000])
@pytest.mark.parametrize("typed", [b"", b"one\ntwo\x04part", LINE * 100])
def test_output_stopped_by_a_character(
    world: World, ends: tuple[int, int], unread: bytes, typed: bytes
) -> None:
    master, slave = ends
    local(slave, off=termios.ECHO)
    done = fill(slave, unread, 1792)
    assert fill(master, STOP + typed, 4096) == 1 + len(typed)
    assert wait_until(lambda: not writable(slave), 5)
    assert events(master) & select.POLLIN or not unread
    (state,) = world.capture(tty)
    assert state.stopped == (waiting.BY_CHARACTER)
    unchanged(world, slave)
    assert drain(master) == unread[:done]
    assert not writable(slave)
    lines = drain(slave)
    assert lines == typed.replace(b"\x04part", b"")
    os.write(master, START)
    assert wait_until(lambda: writable(slave), 5)


def test_output_stopped_by_a_call(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    local(slave, off=termios.ECHO | termios.ICANON)
    os.write(slave, b"not read")
    os.write(master, b"typed")
    termios.tcflow(slave, termios.TCOOFF)
    assert world.capture(tty)[0].stopped == waiting.BY_CALL
    unchanged(world, slave)
    assert (drain(master), drain(slave)) == (b"not read", b"typed")
    os.write(master, START)  # it takes more than that
    assert not wait_until(lambda: writable(slave), 0.05)
    termios.tcflow(slave, termios.TCOON)
    assert writable(slave)


def test_packet_mode(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    local(slave, off=termios.ECHO)
    os.write(master, b"line\npart")
    os.write(slave, b"out")
    set_number(master, termios.TIOCPKT, 1)
    unchanged(world, slave)
    assert number(master, TIOCGPKT) == 1
    assert os.read(master, 99) == b"\0out"
    assert not events(master) & select.POLLIN, "it tells of nothing that we did"


def test_the_terminal_of_the_pod_while_somebody_reads_it(world: World) -> None:
    """Whose output is full, and who sees no packets."""
    master, slave = pty.openpty()
    world.hold(slave)
    world.tty_master = master
    for fd in (master, slave):
        os.set_blocking(fd, False)
    local(slave, off=termios.ECHO)
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    done = fill(slave, LINE * 1000, 1792)
    os.write(master, b"line\nrest")
    assert wait_until(lambda: count(slave) == 5, 5)
    first, second = world.capture(tty), world.capture(tty)
    assert first == second
    assert first[0].waiting == waiting.Input([b"line\n"], b"rest")
    assert first[0].stopped == waiting.RUNNING
    assert drain(master) == (LINE * 1000)[:done]
    assert world.capture(tty) == first
    assert drain(master) == b""
    os.close(master)
    world.tty_master = None


def test_there_is_no_place_any_more(
    world: World, ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and everything else is as it was."""
    master, slave = ends
    local(slave, off=termios.ECHO | termios.ICANON)
    os.write(master, b"typed")
    assert wait_until(lambda: count(slave) == 5, 5)
    before = termios.tcgetattr(slave)
    monkeypatch.setattr(waiting, "_write", lambda fd, data: 0)
    monkeypatch.setattr(waiting, "_LIMIT_S", 0.01)
    with pytest.raises(UnsupportedResource, match="does not take back") as refused:
        world.capture(tty)
    assert "5 bytes of input" in (refused.value.changed or "")
    assert termios.tcgetattr(slave) == before
    assert fcntl.fcntl(master, fcntl.F_GETFL) & os.O_NONBLOCK


@pytest.mark.parametrize(
    ("content", "size", "lines", "rest"),
    [
        (b"", 0, [], b""),
        (b"part", 0, [], b"part"),
        (b"a\nb\npart", 4, [b"a\n", b"b\n"], b"part"),
        (b"a\0b\n", 3, [b"a", b"b\n"], b""),
        (b"a\0b\nc", 4, [b"a\0b\n"], b"c"),
        (b"\0", 0, [b""], b""),
        (b"a\n\0b", 2, [b"a\n", b""], b"b"),
    ],
)
def test_lines_are_told_apart(content: bytes, size: int, lines: list[bytes], rest: bytes) -> None:
    assert split(content, size, {b"\n"}) == (lines, rest)


def test_reads_of_a_terminal_that_is_hung_up_end():
    """Its slave gives nothing, at once and always."""
    master, slave = os.openpty()
    os.set_blocking(slave, False)
    before = waiting.Termios.of(waiting.get_termios(slave))
    os.close(master)
    hands = waiting.Hands(-1, slave, before, seen=False)
    assert hands._read(3, []) == b""
    assert hands._read_all([]) == b""
    os.close(slave)

"""The tty room: settings, input half typed, output unread, the pod's own terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios

import pytest

from harness.room_world import World
from harness.world import describe_descriptor, descriptors
from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.resources import tty
from zaptrace.resources.tty.ends import TIOCGEXCL, TIOCGPKT, TIOCGPTLCK, number


def mode(fd: int, *, off: int = 0, on: int = 0) -> None:
    attributes = termios.tcgetattr(fd)
    attributes[3] = attributes[3] & ~off | on
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def ready(fd: int, wait: float = 10) -> bool:
    """What is written to one end comes to the other by a thread of the kernel's, when that may run."""
    return bool(select.select([fd], [], [], wait)[0])


@pytest.fixture
def ends(world: World) -> tuple[int, int]:
    master, slave = pty.openpty()
    world.hold(master)
    world.hold(slave)
    return master, slave


def test_settings(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    mode(slave, off=termios.ECHO | termios.ICANON)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    fcntl.ioctl(master, termios.TIOCPKT, struct.pack("i", 1))
    fcntl.ioctl(slave, termios.TIOCEXCL)
    before = termios.tcgetattr(slave)
    states = world.capture(tty)
    assert termios.tcgetattr(slave) == before
    assert number(slave, TIOCGEXCL) == 1
    world.kill()
    world.restore(tty, states)
    assert termios.tcgetattr(slave) == before
    assert struct.unpack("4H", fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8)))[:2] == (33, 77)
    assert number(master, TIOCGPKT) == 1
    assert number(slave, TIOCGEXCL) == 1
    os.write(slave, b"x")
    assert ready(master)
    assert os.read(master, 9) == b"\0x"  # packet mode


def test_input_in_raw_mode(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    mode(slave, off=termios.ECHO | termios.ICANON | termios.ISIG)
    os.write(master, b"\x03typed\x7f\x04\r")
    assert ready(slave)
    world.capture(tty)
    world.capture(tty)
    world.round_trip(tty)
    assert ready(slave)
    assert os.read(slave, 99) == b"\x03typed\x7f\x04\n"


def test_input_in_lines(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    mode(slave, off=termios.ECHO)
    os.write(master, b"first\nsec\x04third\npart")
    assert ready(slave)
    first, second = world.capture(tty)[0], world.capture(tty)[0]
    assert first == second
    assert first.waiting == tty.Input([b"first\n", b"sec", b"third\n"], b"part")
    world.round_trip(tty)
    assert [os.read(slave, 99) for _ in range(3)] == [b"first\n", b"sec", b"third\n"]
    assert not ready(slave, 0)
    os.write(master, b"ial\x7fL\n")  # the line can still be edited
    assert ready(slave)
    assert os.read(slave, 99) == b"partiaL\n"


def test_input_and_output_at_once(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    mode(slave, off=termios.ECHO)
    os.write(master, b"one\ntwo\nthr")
    os.write(slave, b"unread")
    assert ready(slave) and ready(master)
    world.capture(tty)
    world.capture(tty)
    assert [os.read(slave, 99) for _ in range(2)] == [b"one\n", b"two\n"]
    os.write(master, b"ee\n")
    assert ready(slave)
    assert os.read(slave, 99) == b"three\n"
    assert os.read(master, 99) == b"unread"


def test_the_number_is_kept_if_it_is_free(world: World) -> None:
    others = [pty.openpty() for _ in range(3)]
    master, slave = others.pop()
    world.hold(master)
    world.hold(slave)
    for pair in others:
        for fd in pair:
            os.close(fd)
    name = os.ttyname(slave)
    world.round_trip(tty)
    assert os.ttyname(slave) == name


def test_end_of_file_that_waits(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    mode(slave, off=termios.ECHO)
    os.write(master, b"\x04")
    assert ready(slave)
    world.round_trip(tty)
    assert ready(slave)
    assert os.read(slave, 99) == b""
    assert not ready(slave, 0)


def test_output(world: World, ends: tuple[int, int]) -> None:
    master, slave = ends
    os.write(slave, b"a line\n" * 100)
    assert ready(master)
    assert world.capture(tty) == world.capture(tty)
    world.round_trip(tty)
    os.write(slave, b"end")
    wanted, got = b"a line\r\n" * 100 + b"end", b""
    while len(got) < len(wanted) and ready(master):
        got += os.read(master, 4096)
    assert got == wanted
    assert not ready(master, 0)


def test_own_terminal(world: World) -> None:
    master, slave = pty.openpty()
    world.hold(slave)
    world.tty_master = master
    os.write(master, b"half a li")
    echo = b""
    while len(echo) < len(b"half a li") and ready(master):
        echo += os.read(master, 99)
    states = world.capture(tty)
    world.kill()
    os.close(master)
    world.tty_master = None
    build = world.restore(tty, states)
    assert build.tty_master is not None
    os.write(build.tty_master, b"ne\n")
    assert ready(slave)
    assert os.read(slave, 99) == b"half a line\n"
    assert echo == b"half a li"
    os.close(build.tty_master)


def test_every_slave_closed(world: World) -> None:
    master, slave = pty.openpty()
    os.write(slave, b"bye")
    os.close(slave)
    world.hold(master)
    assert world.capture(tty) == world.capture(tty)
    world.round_trip(tty)
    assert os.read(master, 9) == b"bye"
    with pytest.raises(OSError, match="Input/output"):
        os.read(master, 9)


def test_never_opened(world: World) -> None:
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    world.hold(master)
    world.round_trip(tty)
    assert number(master, TIOCGPTLCK) == 1
    with pytest.raises(BlockingIOError):
        os.read(master, 9)


def test_a_terminal_outside_is_refused(world: World) -> None:
    master, slave = pty.openpty()
    world.hold(slave)
    with pytest.raises(UnsupportedResource, match="terminal outside the pod"):
        world.capture(tty)
    os.close(master)


def test_a_master_that_was_not_opened_to_read_and_write_is_refused(world: World) -> None:
    master = os.open("/dev/ptmx", os.O_RDONLY | os.O_NOCTTY)
    world.hold(master)
    with pytest.raises(UnsupportedResource, match="not opened for reading and writing"):
        world.capture(tty)


def test_a_session_gets_its_terminal_and_foreground_group(world: World) -> None:
    """The rows, as the leader of session 7 would run them."""
    master, slave = pty.openpty()
    world.hold(master)
    world.hold(slave)
    (state,) = world.capture(tty)
    state = tty.State(**{**vars(state), "session": 7, "foreground": 7})
    world.kill()
    before = descriptors()
    with pytest.raises(RestoreError, match="ioctl"):  # it is not the terminal of our session
        world.restore(tty, [state])
    for opened in descriptors() - before:  # by the rows; we are not ended, as a process would be
        if describe_descriptor(opened).startswith("/dev/pts/"):
            os.close(opened)
    assert world.build is not None
    assert world.build.terminals == {7: os.ttyname(slave)}

"""The unit tests' world: its process runs programs as the stub does, and the view is the real one."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from harness.room_world import VPID, World
from zaptrace.linux.program import Program, ProgramError
from zaptrace.resources import eventfd


def test_a_program(world: World, tmp_path: Path) -> None:
    program = Program()
    path = program.string(str(tmp_path / "file"))
    failing = program.call("openat", -100, path, os.O_RDONLY, 0, may_fail=True)
    fd = program.call("openat", -100, path, os.O_RDWR | os.O_CREAT, 0o600)
    program.call("write", fd, program.data(b"written"), 7)
    got = program.buffer(7)
    vector = program.pointer(struct.pack("<QQ", 0, 7), {0: got})
    program.call("preadv", fd, vector, 1, 0, 0)
    program.call("close", fd)
    results = world.pod.process(VPID).run(program)
    assert results[failing] == -errno.ENOENT
    assert results.bytes(got) == (tmp_path / "file").read_bytes() == b"written"


def test_a_row_that_must_succeed(world: World, tmp_path: Path) -> None:
    program = Program()
    program.call("getpid")
    program.call("mkdirat", -100, program.string(tmp_path.as_posix()), 0o700)
    program.call("unlinkat", -100, program.string(tmp_path.as_posix()), 0x200)
    with pytest.raises(ProgramError, match=r"mkdirat .*EEXIST") as raised:
        world.pod.process(VPID).run(program)
    assert (raised.value.failed, raised.value.errno) == (1, errno.EEXIST)
    assert tmp_path.exists()  # nothing is done after it


def test_descriptors_of_one_description(world: World) -> None:
    """Nobody tells the view which these are."""
    one, other = os.eventfd(3), os.eventfd(3)
    again = os.dup(one)
    os.set_inheritable(again, True)
    world.hold(one, other, again)
    assert [[fd for _, fd in file.holders] for file in world.pod.all_files] == [
        [one, again],
        [other],
    ]
    world.round_trip(eventfd)
    assert [os.get_inheritable(fd) for fd in (one, other, again)] == [False, False, True]
    assert os.eventfd_read(again) == 3
    os.eventfd_write(one, 5)
    assert [os.eventfd_read(fd) for fd in (again, other)] == [5, 3]

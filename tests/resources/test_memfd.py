"""The memfd room: contents, seals, second descriptions, mappings."""

from __future__ import annotations

import fcntl
import mmap
import os

import pytest

from harness.room_world import World
from zaptrace.resources import memfd


def test_round_trip(world: World) -> None:
    fd = os.memfd_create("a name", os.MFD_CLOEXEC)
    os.pwrite(fd, b"start", 0)
    os.pwrite(fd, b"end", 1 << 20)
    os.ftruncate(fd, 1 << 22)
    os.lseek(fd, 1 << 20, os.SEEK_SET)
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    flags = [fcntl.fcntl(n, fcntl.F_GETFL) for n in (fd, reader)]
    first = world.hold(fd)
    world.hold(reader)
    world.round_trip(memfd)
    assert [fcntl.fcntl(n, fcntl.F_GETFL) for n in (fd, reader)] == flags
    assert os.readlink(f"/proc/self/fd/{fd}") == "/memfd:a name (deleted)"
    assert os.read(fd, 3) == b"end"
    assert os.fstat(fd).st_size == 1 << 22
    assert os.fstat(fd).st_blocks * 512 < 1 << 20
    os.pwrite(fd, b"START", 0)
    assert os.read(reader, 5) == b"START"
    with pytest.raises(OSError, match="Bad file"):
        os.write(reader, b"x")
    assert world.inodes == [(first.stat.st_dev, first.stat.st_ino)]


@pytest.mark.parametrize("seals", [0, 1, 2 | 4, 8, 8 | 1, 16, 16 | 1, 2 | 16])
def test_seals(world: World, seals: int) -> None:
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    os.write(fd, b"contents")
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    world.hold(fd)
    world.round_trip(memfd)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == seals
    assert os.pread(fd, 100, 0) == b"contents"


@pytest.mark.parametrize("mode", [0o700, 0o600])
def test_sealed_as_what_may_be_executed_or_not(world: World, mode: int) -> None:
    fd = os.memfd_create("program", os.MFD_ALLOW_SEALING)
    os.write(fd, b"contents")
    os.fchmod(fd, mode)
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0x20)  # F_SEAL_EXEC
    except OSError:
        pytest.skip("this kernel has no F_SEAL_EXEC (Linux 6.3)")
    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    world.hold(fd)
    world.round_trip(memfd)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == seals
    assert os.fstat(fd).st_mode & 0o777 == mode
    with pytest.raises(PermissionError):
        os.fchmod(fd, mode ^ 0o100)


def test_without_sealing(world: World) -> None:
    fd = os.memfd_create("plain", 0)
    world.hold(fd)
    world.round_trip(memfd)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == fcntl.F_SEAL_SEAL


def test_what_is_in_a_mapping_is_saved(world: World) -> None:
    fd = os.memfd_create("mapped")
    os.ftruncate(fd, 8192)
    with mmap.mmap(fd, 8192) as mapped:
        mapped[5000:5003] = b"new"
        world.hold(fd)
        world.round_trip(memfd)
    assert os.pread(fd, 3, 5000) == b"new"

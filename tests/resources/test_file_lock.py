"""The file_lock room: what another process finds when it tries the same locks."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace.errors import RestoreError
from zaptrace.resources import file_lock

_TRY = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for what in sys.argv[2:]:
    try:
        if what == "flock":
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            start, length = map(int, what.split("+"))
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        print("free")
    except OSError:
        print("held")
"""


def others(path: Path, *what: str) -> list[str]:
    """What another process finds when it tries these locks."""
    run = [sys.executable, "-c", _TRY, str(path), *what]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(bytes(100))
    return made


def relock(world: World, fd: int) -> list[file_lock.State]:
    """Capture, lose the locks, restore onto the same open files."""
    states = world.capture(file_lock)
    fcntl.flock(fd, fcntl.LOCK_UN)
    fcntl.lockf(fd, fcntl.LOCK_UN)
    fcntl.fcntl(fd, 37, struct.pack("=hh4xqqi4x", fcntl.F_UNLCK, 0, 0, 0, 0))
    world.kill()
    world.restore(file_lock, states)
    return states


def test_flock(world: World, path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    other = os.dup(fd)
    fcntl.flock(fd, fcntl.LOCK_EX)
    world.hold(fd, other)
    (state,) = relock(world, fd)
    assert (state.kind, state.exclusive) == ("flock", True)
    assert others(path, "flock", "0+100") == ["held", "free"]


def test_posix(world: World, path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 5)
    fcntl.lockf(fd, fcntl.LOCK_SH, 0, 50)
    world.hold(fd, os.dup(fd))
    states = world.capture(file_lock)
    assert [(s.kind, s.exclusive, s.start, s.length) for s in states] == [
        ("posix", True, 5, 10),
        ("posix", False, 50, 0),
    ]
    fcntl.lockf(fd, fcntl.LOCK_UN)
    assert others(path, "5+10") == ["free"]
    # The descriptors stay, for we would lose the locks with any that is closed.
    world.restore(file_lock, states)
    assert others(path, "0+5", "5+1", "14+1", "15+35", "50+1", "900+1") == [
        "free", "held", "held", "free", "held", "held"
    ]  # fmt: skip


def test_ofd(world: World, path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    fcntl.fcntl(fd, 37, struct.pack("=hh4xqqi4x", fcntl.F_WRLCK, 0, 20, 10, 0))
    world.hold(fd)
    (state,) = relock(world, fd)
    assert (state.kind, state.start, state.length) == ("ofd", 20, 10)
    assert others(path, "0+20", "20+1", "30+1") == ["free", "held", "free"]


def test_a_lock_that_somebody_else_has_now(world: World, path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    world.hold(fd)
    states = world.capture(file_lock)
    fcntl.flock(fd, fcntl.LOCK_UN)
    other = os.open(path, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    world.kill()
    with pytest.raises(RestoreError, match="flock lock"):
        world.restore(file_lock, states)
    os.close(other)

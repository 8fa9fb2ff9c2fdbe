"""The file_lease room: what is refused, and whom a lease meets at the restore."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.resources import claim_files, file_lease
from zaptrace.resources.common import leasing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(bytes(100))
    return made


@pytest.fixture
def writer(world: World, path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    world.hold(fd)
    yield fd


def test_a_file_that_somebody_else_opened_meanwhile(world: World, path: Path, writer: int) -> None:
    states = world.capture(file_lease)
    assert [(state.kind, state.breaking) for state in states] == [("write", "")]
    fcntl.fcntl(writer, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    other = os.open(path, os.O_RDONLY)
    world.kill()
    with pytest.raises(RestoreError, match="lease of a file"):
        world.restore(file_lease, states)
    os.close(other)


def test_to_look_at_a_file_breaks_no_lease(world: World, path: Path, writer: int) -> None:
    claim_files(world.pod)
    file = world.pod.file_at(world.pod.processes[0].vpid, writer)
    assert file is not None
    assert leasing.is_writers(file)
    assert fcntl.fcntl(writer, fcntl.F_GETLEASE) == fcntl.F_WRLCK


def test_a_writer_s_of_a_mapped_file(world: World, writer: int) -> None:
    with mmap.mmap(writer, 100):
        world.hold(writer)
        with pytest.raises(UnsupportedResource, match="is a writer's, of a mapped file"):
            file_lease.refuse(world.pod)


def test_a_reader_s_of_what_is_open_for_writing(
    world: World, writer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is when lease-break-time is over, which takes 45 seconds."""
    monkeypatch.setattr(leasing, "lease_of", lambda file: leasing.Lease("read", "", os.getpid()))
    with pytest.raises(UnsupportedResource, match="not given up in time"):
        file_lease.refuse(world.pod)

"""Which file is it: names that look like something else, other links, and rows of maps."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.room_world import VPID, World
from zaptrace.linux import procfs
from zaptrace.resources.common.inode import Inode, Inodes
from zaptrace.resources.common.libc import libc

ODD = [
    "data (deleted)",
    "back\\012slash",
    "new\nline",
    "a\n\\012\n",
    "[heap]",
    "x (deleted) (deleted)",
]


class Mappings:
    """Shared mappings of this process, and of which inode each is found to be."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.made: list[int] = []

    def map(self, path: Path) -> Inode:
        with open(path, "rb") as file:
            self.made.append(libc.mmap(None, mmap.PAGESIZE, 1, mmap.MAP_SHARED, file.fileno(), 0))
        return self.last()

    def last(self) -> Inode:
        """Of the last one, as a checkpoint now would find it."""
        self._world._refresh()
        pod = self._world.pod
        row = next(m for m in pod.process(VPID).maps if m.start == self.made[-1])
        return Inodes.of(pod).mapped(row)


@pytest.fixture
def mappings(world: World) -> Iterator[Mappings]:
    made = Mappings(world)
    yield made
    for at in made.made:
        libc.munmap(at, mmap.PAGESIZE)


@pytest.mark.parametrize("name", ODD)
def test_odd_names(world: World, mappings: Mappings, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x" * 100)
    fd = os.open(path, os.O_RDONLY)
    file = world.hold(fd)
    assert Inodes.of(world.pod).opened(file).path == os.fsencode(path)
    assert mappings.map(path).path == os.fsencode(path)


@pytest.mark.parametrize("name", ["plain", *ODD])
def test_removed_and_mapped(mappings: Mappings, tmp_path: Path, name: str) -> None:
    """Also where a file has the name that the kernel shows for the removed one."""
    path = tmp_path / name
    path.write_bytes(b"x" * 100)
    mappings.map(path)
    path.unlink()
    (tmp_path / f"{name} (deleted)").write_bytes(b"another")
    found = mappings.last()
    assert (found.path, found.hidden) == (None, False)
    # Where it is gone nothing tells what a backslash and 012 meant.
    assert found.was.replace(b"\\012", b"\n") == os.fsencode(path).replace(b"\\012", b"\n")


def test_one_inode_for_descriptors_and_mappings(
    world: World, mappings: Mappings, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    fd = os.open(path, os.O_RDONLY)
    world.hold(fd)
    found = mappings.map(path)
    assert found.files == [world.pod.file_at(VPID, fd)]
    assert Inodes.of(world.pod).opened(found.files[0]) is found


def test_a_link_next_to_it(mappings: Mappings, tmp_path: Path) -> None:
    path = tmp_path / "temporary"
    path.write_bytes(b"x")
    mappings.map(path)
    os.link(path, tmp_path / "final")
    path.unlink()
    path.write_bytes(b"a new one")
    assert mappings.last().path == os.fsencode(tmp_path / "final")


def test_no_link_is_found(world: World, tmp_path: Path, caplog) -> None:
    """It is carried as removed, and said so once."""
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    (tmp_path / "far").mkdir()
    os.link(path, tmp_path / "far/other")
    path.unlink()
    file = world.hold(fd)
    with caplog.at_level(logging.WARNING):
        found = Inodes.of(world.pod).opened(file)
        Inodes.of(world.pod).opened(file)
    assert (found.path, found.was) == (None, os.fsencode(path))
    assert not found.hidden
    assert [
        record.message.startswith(f"{path} has lost its name") for record in caplog.records
    ] == [True]


def test_file_systems_whose_rows_show_other_numbers(
    world: World, mappings: Mappings, tmp_path: Path, monkeypatch
) -> None:
    """As overlay and btrfs do: told by a mapping of our own; open or not, named or not."""
    real = procfs.rows
    monkeypatch.setattr(
        procfs, "rows", lambda pid: [procfs.Row(r.start, r.device + 7, r.inode) for r in real(pid)]
    )
    maps = procfs.maps

    def other(rpid: int) -> list[procfs.Map]:
        return [
            procfs.Map(**{**vars(m), "device": m.device + 7}) if m.inode else m for m in maps(rpid)
        ]

    monkeypatch.setattr(procfs, "maps", other)
    closed, held, gone = (tmp_path / name for name in ("closed", "held", "gone"))
    for path in (closed, held, gone):
        path.write_bytes(b"x")
    assert mappings.map(closed).path == os.fsencode(closed)
    fd = os.open(held, os.O_WRONLY)
    world.hold(fd)
    found = mappings.map(held)
    assert (found.path, len(found.files)) == (os.fsencode(held), 1)
    fd = os.open(gone, os.O_RDWR)
    world.hold(fd)
    mappings.map(gone)
    gone.unlink()
    found = mappings.last()
    assert (found.path, found.key) == (None, (os.fstat(fd).st_dev, os.fstat(fd).st_ino))
    assert [file.holders[0][1] for file in found.files] == [fd]


def test_a_replaced_file_is_not_the_old_one(mappings: Mappings, tmp_path: Path) -> None:
    path = tmp_path / "library"
    path.write_bytes(b"old code")
    mappings.map(path)
    (tmp_path / "new").write_bytes(b"new code")
    (tmp_path / "new").rename(path)
    assert mappings.last().path is None

"""The dnotify room: what is refused, and what a note of a closed descriptor is worth."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

import pytest

from harness.room_world import VPID, World
from zaptrace.errors import UnsupportedResource
from zaptrace.resources import dnotify


def watched(world: World, path: Path, mask: int, *, owner: bool = True) -> int:
    """As far as the C half would have noted; the kernel has made us the owner."""
    directory = os.open(path, os.O_RDONLY)
    if owner:
        fcntl.fcntl(directory, fcntl.F_SETOWN, os.getpid())
    world.hold(directory)
    world.store(dnotify, struct.pack("=ii", VPID, directory), struct.pack("=I", mask))
    return directory


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (fcntl.DN_CREATE, "raises one signal and no more"),
        (fcntl.DN_ACCESS | fcntl.DN_MULTISHOT, "when a file in it is read"),
    ],
)
def test_refused(world: World, tmp_path: Path, mask: int, why: str) -> None:
    watched(world, tmp_path, mask)
    with pytest.raises(UnsupportedResource, match=why):
        world.capture(dnotify)


def test_a_number_that_is_another_directory_by_now(world: World, tmp_path: Path) -> None:
    watched(world, tmp_path, fcntl.DN_CREATE | fcntl.DN_MULTISHOT, owner=False)
    assert world.capture(dnotify) == []


def test_a_watch(world: World, tmp_path: Path) -> None:
    directory = watched(world, tmp_path, fcntl.DN_CREATE | fcntl.DN_MULTISHOT)
    assert world.capture(dnotify) == [dnotify.State(VPID, directory, fcntl.DN_CREATE)]

"""The eventfd room: counts, semaphores, sharing, owners of signals."""

from __future__ import annotations

import fcntl
import os

import pytest

from harness.room_world import VPID, World
from zaptrace.resources import eventfd


@pytest.mark.parametrize("count", [0, 1, 2, 5, 2**64 - 2])
@pytest.mark.parametrize("flags", [0, os.EFD_SEMAPHORE])
def test_round_trip(world: World, count: int, flags: int) -> None:
    fd = os.eventfd(0, flags | os.EFD_NONBLOCK)
    if count:
        os.eventfd_write(fd, count)
    world.hold(fd)
    world.round_trip(eventfd)
    assert not os.get_blocking(fd)
    if not count:
        with pytest.raises(BlockingIOError):
            os.eventfd_read(fd)
    else:
        assert os.eventfd_read(fd) == (1 if flags else count)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("flags", [0, os.EFD_SEMAPHORE])
def test_semaphore_is_found_where_the_kernel_does_not_show_it(
    world: World, count: int, flags: int
) -> None:
    fd = os.eventfd(count, flags | os.EFD_NONBLOCK)
    world.hold(fd)
    assert eventfd._probe(fd, count) == bool(flags)
    assert int(world.capture(eventfd)[0].count) == count


def test_capture_changes_nothing(world: World) -> None:
    fd = os.eventfd(3)
    world.hold(fd)
    assert world.capture(eventfd) == world.capture(eventfd)
    assert os.eventfd_read(fd) == 3


def test_a_shared_description_stays_one(world: World) -> None:
    fd = os.eventfd(3)
    other = os.dup(fd)
    world.hold(fd, other)
    world.round_trip(eventfd)
    assert os.eventfd_read(other) == 3
    os.eventfd_write(other, 9)
    assert os.eventfd_read(fd) == 9


def test_owner_of_signals(world: World) -> None:
    fd = os.eventfd(0)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, 10, 40)  # F_SETSIG
    world.hold(fd)
    (state,) = world.round_trip(eventfd)
    assert (state.owner.vid, state.owner.signal) == (VPID, 40)
    assert fcntl.fcntl(fd, fcntl.F_GETOWN) == os.getpid()
    assert fcntl.fcntl(fd, 11) == 40

"""The timerfd room: time left, by the pod's clock, and ticks not read yet."""

from __future__ import annotations

import ctypes
import os
import struct
import time

import pytest

from harness.room_world import World
from zaptrace.linux.native import lib
from zaptrace.resources import timerfd
from zaptrace.resources.common.libc import checked, libc

_SPEC = struct.Struct("=qqqq")


def make(clock: int, value: float, interval: float = 0, flags: int = 0) -> int:
    fd = checked(libc.timerfd_create(clock, os.O_NONBLOCK))
    timerfd._settime(fd, flags, int(value * 1e9), int(interval * 1e9))
    return fd


def left(fd: int) -> tuple[float, float]:
    raw = ctypes.create_string_buffer(_SPEC.size)
    checked(libc.timerfd_gettime(fd, raw))
    interval_s, interval_ns, value_s, value_ns = _SPEC.unpack(raw.raw)
    return value_s + value_ns / 1e9, interval_s + interval_ns / 1e9


def ticks(fd: int) -> int:
    return int.from_bytes(os.read(fd, 8), "little")


@pytest.mark.parametrize("clock", [time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME])
def test_relative(world: World, clock: int) -> None:
    fd = make(clock, 5000, 7)
    world.hold(fd)
    world.round_trip(timerfd)
    value, interval = left(fd)
    assert 4900 < value <= 5000
    assert interval == 7
    with pytest.raises(BlockingIOError):
        os.read(fd, 8)


def test_disarmed(world: World) -> None:
    fd = make(time.CLOCK_MONOTONIC, 0)
    world.hold(fd)
    world.round_trip(timerfd)
    assert left(fd) == (0, 0)


def test_it_is_the_pods_time_that_counts(world: World) -> None:
    fd = make(time.CLOCK_MONOTONIC, 5000)
    world.hold(fd)
    states = world.capture(timerfd)
    world.kill()
    lib.zt_pod_set_clock(world.handle, 1000 * 10**9)
    world.restore(timerfd, states)
    assert 3900 < left(fd)[0] <= 4000


def test_absolute_realtime_keeps_its_time(world: World) -> None:
    fd = make(time.CLOCK_REALTIME, time.time() + 0.2, flags=1)
    world.hold(fd)
    states = world.capture(timerfd)
    world.kill()
    time.sleep(0.25)
    world.restore(timerfd, states)
    assert ticks(fd) == 1


def test_time_that_passes_while_it_is_an_image_does_not_count(world: World) -> None:
    fd = make(time.CLOCK_MONOTONIC, time.monotonic() + 5000, flags=1)
    world.hold(fd)
    states = world.capture(timerfd)
    world.kill()
    lib.zt_pod_set_clock(world.handle, -(10_000 * 10**9))  # so long was it one
    world.restore(timerfd, states)
    assert 14_900 < left(fd)[0] <= 15_000


@pytest.mark.parametrize("ioctl", [timerfd._TFD_IOC_SET_TICKS, 0])
def test_ticks_not_read_yet(world: World, ioctl: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timerfd, "_TFD_IOC_SET_TICKS", ioctl)
    begin = time.monotonic()
    periodic, once = make(time.CLOCK_MONOTONIC, 0.01, 0.3), make(time.CLOCK_MONOTONIC, 0.01)
    world.hold(periodic)
    world.hold(once)
    time.sleep(0.65)
    states = world.round_trip(timerfd)
    assert ticks(once) == 1
    found = ticks(periodic)  # it goes on, and a busy machine is slow to look
    assert 3 <= states[0].ticks <= found <= 1 + (time.monotonic() - begin - 0.01) // 0.3
    time.sleep(0.35)
    assert ticks(periodic) >= 1

"""The cpu_time room: what is told goes on, whatever the kernel counts, and the limit on it."""

from __future__ import annotations

import os
import resource
import time
from typing import Any

import pytest

from harness.room_world import VPID, World
from zaptrace.errors import UnsupportedResource
from zaptrace.linux.native import ffi, lib
from zaptrace.resources import cpu_time


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def given(world: World) -> cpu_time.State:
    """What a program would be told now, as a State."""
    (state,) = world.capture(cpu_time)
    return state


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of this process, as it would be: [soft, hard]. Not the real one, as nobody could raise it."""
    now = [resource.RLIM_INFINITY, resource.RLIM_INFINITY]

    def prlimit(pid: int, which: int, limits: tuple[int, int] | None = None) -> tuple[int, ...]:
        assert (pid, which) == (os.getpid(), resource.RLIMIT_CPU)
        was = tuple(now)
        if limits is not None:
            assert limits[0] <= limits[1] or limits[1] == resource.RLIM_INFINITY
            now[:] = limits
        return was

    monkeypatch.setattr(resource, "prlimit", prlimit)
    return now


@pytest.fixture(autouse=True)
def registers(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of the thread; the world has none."""
    made = ffi.new("zt_regs *")
    thread = type(world.pod.processes[0].leader)
    monkeypatch.setattr(thread, "registers", lambda self: made)
    return made


def test_it_goes_on(world: World, limit: list[int]) -> None:
    states = world.capture(cpu_time)
    (before,) = states
    burn(0.3)
    world.kill()
    world.restore(cpu_time, states)
    after = given(world)
    for then, now in zip(before.used, after.used, strict=True):
        assert now >= then
    for then, now in zip(before.threads[VPID], after.threads[VPID], strict=True):
        assert now >= then
    assert after.used[cpu_time._CLOCKS][2] - before.used[cpu_time._CLOCKS][2] < 200_000_000
    assert after.used[0] + after.used[1] - before.used[0] - before.used[1] < 200_000


def test_it_is_the_sum_again_at_the_next_checkpoint(world: World, limit: list[int]) -> None:
    (state,) = world.capture(cpu_time)
    used = [number + 5_000_000 for number in state.used]
    world.kill()
    world.restore(cpu_time, [cpu_time.State(VPID, 0, used, state.threads, state.limit)])
    after = given(world)
    assert all(now >= then for then, now in zip(used, after.used, strict=True))
    assert after.used[2] == used[2], "the most memory is no sum"
    second = world.round_trip(cpu_time)
    assert all(now >= then for then, now in zip(second[0].used, given(world).used, strict=True))


@pytest.mark.parametrize("hard", [30, resource.RLIM_INFINITY])
def test_the_soft_limit_is_lower_by_what_was_used(
    world: World, limit: list[int], hard: int
) -> None:
    (state,) = world.capture(cpu_time)
    used = list(state.used)
    used[cpu_time._CLOCKS.start] += 7_500_000_000
    world.kill()
    world.restore(cpu_time, [cpu_time.State(VPID, 0, used, state.threads, [20, hard])])
    past = ffi.new("zt_process_past *")
    lib.zt_past_get_process(world.handle, os.getpid(), past)
    assert past.limit_s == 7
    assert limit == [13, hard]
    assert given(world).limit == [20, hard]


def test_a_limit_that_is_used_up(world: World, limit: list[int]) -> None:
    (state,) = world.capture(cpu_time)
    used = list(state.used)
    used[cpu_time._CLOCKS.start] += 90_000_000_000
    world.kill()
    world.restore(cpu_time, [cpu_time.State(VPID, 0, used, state.threads, [20, 30])])
    assert limit == [0, 30]
    assert given(world).limit == [20, 30]


def test_no_limit(world: World, limit: list[int]) -> None:
    world.round_trip(cpu_time)
    assert limit == [resource.RLIM_INFINITY] * 2
    assert given(world).limit == [resource.RLIM_INFINITY] * 2


def test_a_sleep_for_some_cpu_time_is_refused(
    world: World, limit: list[int], registers: Any
) -> None:
    """The kernel alone knows how much of it is left."""
    registers.rax, registers.orig_rax = 2**64 - 516, 230
    registers.rdi = time.CLOCK_PROCESS_CPUTIME_ID
    with pytest.raises(UnsupportedResource, match="sleeps while a process uses CPU time"):
        world.capture(cpu_time)
    registers.rsi = 1  # TIMER_ABSTIME
    world.capture(cpu_time)
    registers.rsi, registers.rdi = 0, time.CLOCK_MONOTONIC
    world.capture(cpu_time)

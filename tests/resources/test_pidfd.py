"""The pidfd room: whom it names, living and gone, and who is refused."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness.room_world import VPID, World
from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.resources import pidfd
from zaptrace.view.build import Build, BuildProcess

THREAD = os.O_EXCL


def shown(fd: int) -> int:
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pid:")).split()[1])


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "1000"])


def end(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.wait()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The wait statuses as which processes of the restore were ended."""
    found: list[int] = []

    def end_as(status: int, process: BuildProcess, build: Build) -> None:
        os.kill(process.rpid, signal.SIGKILL)
        os.waitpid(process.rpid, 0)
        found.append(status)

    monkeypatch.setattr(pidfd, "end_as", end_as)
    return found


@pytest.mark.parametrize("flags", [0, os.O_NONBLOCK, THREAD], ids=["plain", "nonblock", "thread"])
def test_a_living_process(world: World, flags: int) -> None:
    fd = os.pidfd_open(os.getpid(), flags)
    world.hold(fd)
    (state,) = world.round_trip(pidfd)
    assert (state.vid, state.gone, state.status) == (VPID, 0, 0)
    assert state.flags == os.O_RDWR | flags
    assert shown(fd) == os.getpid()
    assert os.get_blocking(fd) == (flags != os.O_NONBLOCK)
    assert world.capture(pidfd) == [state]


def test_those_that_are_gone(world: World, ended: list[int]) -> None:
    """Each from a process of ours that ends the same way; pidfds of one from the same."""
    first, second = child(), child()
    fds = [os.pidfd_open(p.pid) for p in (first, first, second)]
    end(first, signal.SIGTERM)
    end(second)
    for fd in fds:
        world.hold(fd)
    states = world.round_trip(pidfd, launch=lambda exe, vpid: child().pid)
    assert [s.vid for s in states] == [0, 0, 0]
    inodes = [os.fstat(fd).st_ino for fd in fds]
    assert [shown(fd) for fd in fds] == [-1, -1, -1]
    if states[0].gone != states[2].gone:  # Linux 6.9: an inode for each process
        assert [s.gone for s in states] == [1, 1, 2]
        assert inodes[0] == inodes[1] != inodes[2]
    assert ended == [states[0].status, states[2].status][: len(ended)]
    if states[0].status:  # Linux 6.15: the kernel tells
        assert ended == [signal.SIGTERM, signal.SIGKILL]


def test_of_a_process_outside(world: World) -> None:
    process = child()
    try:
        fd = os.pidfd_open(process.pid)
        world.hold(fd)
        with pytest.raises(UnsupportedResource, match="outside of the pod") as refused:
            world.capture(pidfd)
        assert f"fd {fd}" in str(refused.value)
        assert str(process.pid) in (refused.value.found or "")
    finally:
        end(process)


def test_a_kernel_without_pidfds_of_threads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.pidfd_open(os.getpid(), THREAD)
    world.hold(fd)
    states = world.capture(pidfd)
    world.kill()

    def refuse(_pid: int, flags: int = 0) -> int:
        raise OSError(22, os.strerror(22))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(RestoreError) as failed:
        world.restore(pidfd, states)
    assert failed.value.stage == "CLAIM"
    assert "6.9" in (failed.value.do or "")

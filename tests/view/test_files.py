"""Files of a build: more than one process may have, given back whoever keeps them meanwhile."""

from __future__ import annotations

import os
import random
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from zaptrace.errors import HostError
from zaptrace.ids import FileId
from zaptrace.view.files import Files

COUNT = 700


@pytest.fixture
def few() -> Iterator[int]:
    """Room for 500 more than other tests have left open in this process: how many that are.

    A fourth of the limit is for what is here, so that is a third of them more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (500 + there + there // 3, hard))
    yield there
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def files(few: int) -> Iterator[Files]:
    files = Files()
    for n in range(COUNT):
        fd = os.memfd_create(str(n))
        files.provide(FileId(n), fd)
    yield files
    files.close()


def name(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}").removeprefix("/memfd:").removesuffix(" (deleted)")


def test_as_many_as_can_be_asked_for_at_once(files: Files):
    chance = random.Random(1)
    for _ in range(30):
        wanted = [FileId(n) for n in chance.sample(range(COUNT), 200)]
        assert [name(fd) for fd in files.get(wanted)] == [str(n) for n in wanted]
        assert len(files) == COUNT


def test_descriptors_of_others_that_are_under_way_are_waited_for(
    files: Files,
):
    """The kernel counts those of all of a user's programs (unix(7), ETOOMANYREFS)."""
    ours, theirs = socket.socketpair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(3):
        socket.send_fds(ours, [b"x"], [0] * 250)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    timer = threading.Timer(0.3, theirs.close)
    timer.start()
    with ours, theirs:
        for n in range(0, COUNT - 100, 200):
            wanted = [FileId(i) for i in range(n, n + 200)]
            assert [name(fd) for fd in files.get(wanted)] == [str(i) for i in wanted]
    timer.join()


def test_taken_ones_are_gone(files: Files):
    for n in (0, COUNT - 1, 5):
        fd = files.take(FileId(n))
        assert name(fd) == str(n)
        os.close(fd)
        with pytest.raises(KeyError):
            files.get([FileId(n)])
    assert len(files) == COUNT - 3


def test_few_are_here(files: Files, few: int):
    here = len(list(Path("/proc/self/fd").iterdir())) - few
    assert here < 300
    files.get([FileId(n) for n in range(200)])
    assert len(list(Path("/proc/self/fd").iterdir())) - few < 300 + 200


def test_there_is_no_room_here(files: Files):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), hard))
    with pytest.raises(HostError, match=r"it has \d+ open files, and may have \d+"):
        files.get([FileId(n) for n in range(200)])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

"""The stdio room: what counts as given at launch."""

from __future__ import annotations

import os
import pty
from pathlib import Path

from harness.room_world import World
from zaptrace.resources import stdio


def test_pipe_and_log(world: World, tmp_path: Path) -> None:
    r, w = os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for fd, slot in ((r, "stdin"), (log, "stdout")):
        found = os.fstat(fd)
        world.stdio[found.st_dev, found.st_ino] = slot
        world.hold(fd)
    again = os.open(f"/proc/self/fd/{log}", os.O_WRONLY)  # as /dev/stdout does
    world.hold(again)
    os.write(w, b"not taken")
    new_r, new_w = os.pipe()
    new_log = os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    states = world.round_trip(stdio, stdio={"stdin": new_r, "stdout": new_log})
    assert [state.slot for state in states] == ["stdin", "stdout", "stdout"]
    os.write(new_w, b"for the restored")
    assert os.read(r, 100) == b"for the restored"
    os.write(log, b"one")
    os.write(again, b"two")
    assert (tmp_path / "new").read_bytes() == b"onetwo"
    for fd in (w, new_r, new_w, new_log):
        os.close(fd)


def test_null_is_opened_by_path(world: World) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    found = os.fstat(null)
    world.stdio[found.st_dev, found.st_ino] = "stdin"
    assert not stdio.claims(world.hold(null))


def test_terminals(world: World) -> None:
    master, slave = pty.openpty()
    found = os.fstat(slave)
    world.stdio[found.st_dev, found.st_ino] = "stdin"
    file = world.hold(slave)
    assert stdio.claims(file)  # the user's
    world.pod.tty_master = master
    assert not stdio.claims(file)  # the pod's own
    os.close(master)

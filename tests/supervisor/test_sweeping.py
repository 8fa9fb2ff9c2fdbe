"""What killed processes left is gone with the next command, and nothing that anybody uses."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zaptrace.image.sink import DirectorySink
from zaptrace.linux import scratch
from zaptrace.supervisor import runtime, sweeping

MAKERS = {
    "checkpoint": "from zaptrace.image.sink import DirectorySink; it = DirectorySink('web.zap')",
    "scratch": "from zaptrace.linux.scratch import Scratch; it = Scratch('zaptrace-try')",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path


@contextlib.contextmanager
def maker(what: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has made such a thing, and sits there."""
    code = f"{MAKERS[what]}; print(flush=True); import signal; signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=home, stdout=subprocess.PIPE) as it:
        try:
            assert it.stdout and it.stdout.readline() == b"\n"
            yield it
        finally:
            it.kill()


def made(home: Path) -> list[str]:
    return sorted(p.name for top in (home, home / "tmp") for p in top.iterdir() if p.name != "tmp")


@pytest.mark.parametrize("what", MAKERS)
def test_temporary_directories(home: Path, what: str):
    base = runtime.root(home / "run")
    with maker(what, home) as it:
        there = made(home)
        assert len(there) == 3  # the directory, the note about it, and the runtime directory
        sweeping.sweep(base)
        assert made(home) == there  # it lives
        os.kill(it.pid, signal.SIGKILL)
        it.wait()
        assert made(home) == there
        sweeping.sweep(base)
        assert made(home) == ["run"]


def test_nothing_is_left_of_one_that_ends_well(home: Path):
    with DirectorySink(home / "web.zap") as sink:
        sink.abort()
    with scratch.directory("zaptrace-try") as path:
        assert Path(path).is_dir()
    assert made(home) == []


@pytest.mark.parametrize("names", ["what is not ours", "a link", "nothing"])
def test_a_note_removes_only_what_is_ours_to_remove(home: Path, names: str):
    mine = home / "work.zap"
    mine.mkdir()
    target = mine
    if names == "a link":
        target = home / ".web.zap.01234567.tmp"
        target.symlink_to(mine)
    note = home / "tmp" / "zaptrace-note-0123456789abcdef"
    note.write_text("" if names == "nothing" else str(target))
    assert scratch.sweep() == []
    assert mine.is_dir()
    assert note.exists() == (names == "nothing")


@pytest.mark.parametrize("state", ["", "receiving", "whole", "thawing", "live"])
def test_staged_images_of_a_killed_server_at_port_0(home: Path, state: str):
    base = runtime.root(home / "run")
    staging = base / ".staged" / "127.0.0.1_any-123"
    arrival = staging / ("0" * 32)
    (arrival / "image").mkdir(parents=True)
    if state:
        record = {"id": arrival.name, "name": "web", "state": state, "from": "somebody"}
        (arrival / "record").write_text(json.dumps(record))
    lock = os.open(staging, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    sweeping.sweep(base)
    assert arrival.exists()  # its server lives
    os.close(lock)
    sweeping.sweep(base)
    needed = state in ("whole", "thawing")  # it may be the only copy
    assert arrival.exists() == staging.exists() == needed


def test_one_of_a_server_at_an_address_of_its_own_is_left_to_the_next(home: Path):
    base = runtime.root(home / "run")
    arrival = base / ".staged" / "127.0.0.1_7077" / ("0" * 32)
    arrival.mkdir(parents=True)
    sweeping.sweep(base)
    assert arrival.exists()


def test_sockets_and_records_of_a_dead_supervisor(home: Path):
    base = runtime.root(home / "run")
    entry = runtime.claim("web", base)
    Path(entry.file("control.sock")).touch()
    sweeping.sweep(base)
    assert Path(entry.path).exists()
    os.close(entry.lock_fd)
    entry.lock_fd = -1
    sweeping.sweep(base)
    assert not Path(entry.path).exists()

"""What killed processes left is gone with the next command, and nothing that anybody uses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from zaptrace import server
from zaptrace.image.sink import DirectorySink
from zaptrace.linux import scratch
from zaptrace.supervisor import runtime, sweeping

MAKERS = {
    "checkpoint": "from zaptrace.image.sink import DirectorySink; it = DirectorySink('web.zap')",
    "scratch": "from zaptrace.linux.scratch import Scratch; it = Scratch('zaptrace-try')",
    "restore": (
        "import os, socket; from zaptrace.resources.unix_socket import names;"
        "made = names.Directories(); s = socket.socket(socket.AF_UNIX);"
        "it = names.bind(s, os.fsencode(os.path.abspath('web')), b'', made)"
    ),
}


BINDS = """
import os, socket
from zaptrace.resources.common.permission import Permission
from zaptrace.resources.unix_socket import names
def stop(*_): print(flush=True); import signal; signal.pause()
names.{at} = stop
sock, within = socket.socket(socket.AF_UNIX), names.Directories()
spot = names.bind(sock, os.fsencode(os.path.abspath("sock")), b"", within)
sock.listen()
spot.move_into_place(b"sock", Permission(0o700, None, None))
"""


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


def test_no_file_is_written_to_see_where_temporary_files_are(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    """A command that was killed while it tried that left one."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._get_default_tempdir", lambda: pytest.fail("it is tried"))
    assert scratch.temporary_place() == str(home / "tmp")
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(home / "nothing"))
    assert scratch.temporary_place() in (os.environ.get("TEMP"), "/tmp")


def test_nothing_is_left_of_one_that_ends_well(home: Path):
    with DirectorySink(home / "web.zap") as sink:
        sink.abort()
    with scratch.directory("zaptrace-try") as path:
        assert Path(path).is_dir()
    assert made(home) == []


def test_what_cannot_be_removed_is_left_to_the_next_command(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(fd: int) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    it = scratch.Scratch("zaptrace-try")
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as broken:
        broken.setattr(os, "fstat", fails)
        it.remove()
    assert len(os.listdir("/proc/self/fd")) == before - 1  # that of the note
    assert scratch.sweep() == [it.path]
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
@pytest.mark.parametrize("server", ["127.0.0.1_any-123", "127.0.0.1_7077"])
def test_what_a_killed_transfer_left(home: Path, server: str, state: str):
    """Whichever command comes next, at whichever address: what came half goes."""
    base = runtime.root(home / "run")
    staging = base / ".staged" / server
    arrival = staging / ("0" * 32)
    (arrival / "image").mkdir(parents=True)
    if state:
        record = {"id": arrival.name, "name": "web", "state": state, "from": "somebody"}
        (arrival / "record").write_text(json.dumps(record))
    lock = os.open(staging, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    sweeping.sweep(base)
    assert arrival.exists()  # its server lives
    assert sweeping.abandoned(base) == []
    os.close(lock)
    sweeping.sweep(base)
    undecided = state in ("whole", "thawing")  # it may be the only copy
    asked_for = state == "live" and "any" not in server  # the source may ask what became of it
    assert arrival.exists() == staging.exists() == (undecided or asked_for)
    named = [("web", str(arrival / "image"))]
    assert sweeping.abandoned(base) == (named if undecided else [])


def test_a_server_waits_for_who_sweeps_and_names_what_is_left(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", str(home / "run"))
    staged = runtime.root() / ".staged"
    arrival = staged / "127.0.0.1_7077" / ("0" * 32)
    arrival.mkdir(parents=True)
    record = {"id": arrival.name, "name": "web", "state": "whole", "from": "somebody"}
    (arrival / "record").write_text(json.dumps(record))
    (staged / "127.0.0.1_7078").mkdir()
    lock = os.open(staged / "127.0.0.1_7078", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    swept = threading.Timer(0.2, lambda: ((staged / "127.0.0.1_7078").rmdir(), os.close(lock)))
    swept.start()
    path, fd = server._lock_staging(server._default_staging("tcp://127.0.0.1:7078"))
    os.close(fd)
    swept.join()
    assert path.is_dir()
    with server.Server("tcp://127.0.0.1:0", spawn=lambda *_: None, config=home / "config"):
        assert f"pod web arrived whole at a server that is gone: {arrival}/image" in caplog.text


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


@pytest.mark.parametrize("there", ["nothing", "a file", "a socket"])
@pytest.mark.parametrize("at", ["_swap", "_publish"])
def test_files_of_sockets(home: Path, at: str, there: str):
    """Ours are gone; what had to be moved aside for them is where it was."""
    base, place = runtime.root(home / "run"), home / "sock"
    theirs = socket.socket(socket.AF_UNIX)
    if there == "a file":
        place.write_text("theirs")
    elif there == "a socket":
        theirs.bind(str(place))
        theirs.listen()
    elif at == "_swap":
        at = "_move"  # there is nothing to change places with
    before = place.lstat().st_ino if there != "nothing" else None
    code = [sys.executable, "-c", BINDS.format(at=at)]
    with theirs, subprocess.Popen(code, cwd=home, stdout=subprocess.PIPE) as it:
        try:
            assert it.stdout and it.stdout.readline() == b"\n"
            while_it_lived = made(home)
            sweeping.sweep(base)
            assert made(home) == while_it_lived
        finally:
            it.kill()
        it.wait()
        sweeping.sweep(base)
        left = [name for name in made(home) if name != "run"]
        if at == "_move":  # a file that has no private name yet is like any program's
            assert left == ["sock"]
        else:
            assert left == ([] if before is None else ["sock"])
        assert before is None or place.lstat().st_ino == before


def test_a_note_of_sockets_moves_nothing_else(home: Path):
    (home / "mine").write_text("mine")
    (home / ".zt-0123456789abcdef").write_text("not a socket")
    note = home / "tmp" / "zaptrace-sockets-0123456789abcdef"
    words = [
        os.fsencode(home),
        b"mine",
        b"other",
        os.fsencode(home),
        b".zt-0123456789abcdef",
        b"mine",
    ]
    note.write_bytes(b"".join(word + b"\0" for word in words))
    sweeping.sweep(runtime.root(home / "run"))
    assert made(home) == [".zt-0123456789abcdef", "mine", "run"]
    assert (home / "mine").read_text() == "mine"

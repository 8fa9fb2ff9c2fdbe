"""What a rehearsal finds, and that nobody else notices it."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from harness.flavours import started
from harness.runs import PodRun
from harness.world import FlavourError, python

SERVER = """
import fcntl, os, socket, sys, time
here = sys.argv[1]
os.chdir(here)
path = socket.socket(socket.AF_UNIX); path.bind("by-path"); path.listen()
port = socket.socket(); port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
port.bind(("127.0.0.1", 0)); port.listen()
os.mkfifo("fifo"); fifo = os.open("fifo", os.O_RDWR); os.write(fifo, b"once")
gone = open("gone", "wb+"); gone.write(b"x" * 9); gone.flush(); os.unlink("gone")
lock = open("lock", "wb"); fcntl.flock(lock, fcntl.LOCK_EX)
open("port", "w").write(str(port.getsockname()[1]))
print("ready", flush=True)
for server in (path, port):
    for _ in range(40):
        server.accept()[0].send(b"original")
assert os.read(fifo, 100) == b"once"
print("PASS", flush=True)
"""


@pytest.fixture
def server(place: Path):
    script = place / "server.py"
    script.write_text(SERVER)
    home = place / "home"
    home.mkdir()
    with started("rehearsed", [python(), script, home], place) as it:
        it.wait_for("ready")
        yield it, home


def _answers(home: Path, count: int) -> None:
    port = int((home / "port").read_text())
    for target in (str(home / "by-path"), ("127.0.0.1", port)):
        kind = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
        for _ in range(count):
            with socket.socket(kind) as client:
                client.settimeout(30)
                client.connect(target)
                assert client.recv(100) == b"original"


@pytest.mark.tracer
def test_nobody_notices(server):
    """No file appears or changes, no connection goes astray, and the named pipe is as it was."""
    it, home = server
    before = {e.name: (e.inode(), e.stat().st_mtime_ns) for e in os.scandir(home)}
    files = len(os.listdir(f"/proc/{it.runner.pid}/fd"))
    for _ in range(3):
        assert it.cycle()
    assert {e.name: (e.inode(), e.stat().st_mtime_ns) for e in os.scandir(home)} == before
    assert len(os.listdir(f"/proc/{it.runner.pid}/fd")) <= files
    _answers(home, 40)
    assert "PASS" in it.finish().output


def test_what_cannot_come_back_is_found(place: Path):
    """An executable that cannot be executed any more: the pod goes on, and no image is there."""
    program = place / "program"
    shutil.copy("/bin/sleep", program)
    with started("restore", [program, "600"], place) as it:
        assert isinstance(it, PodRun)
        program.chmod(0o644)
        with pytest.raises(FlavourError, match="the image would not restore"):
            it.cycle()
        assert not list(it.place.glob("*image*"))
        program.chmod(0o755)
        assert it.cycle()
        it.ask("signal", number=15)
        assert it.finish().status == 15

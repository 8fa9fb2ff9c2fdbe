"""What a rehearsal finds, and that nobody else notices it."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from harness.flavours import started
from harness.runs import PodRun
from harness.world import REAL, FlavourError, python


@pytest.fixture
def server(place: Path):
    home = place / "home"
    home.mkdir()
    with started("rehearsed", [python(), REAL / "server.py", home], place) as it:
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

"""Real programs that put seccomp filters on themselves."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from harness.flavours import started
from harness.hosts import Host
from harness.world import REAL, environment, python
from zaptrace.image.image import Image
from zaptrace.pod.contents import read_stored


@pytest.mark.parametrize("flavour", ["restore", "twice"])
def test_python_by_ctypes(flavour: str, place: Path):
    with started(flavour, [python(), REAL / "sandboxed.py"], place) as it:
        it.wait_for("ready")
        it.cycle()
        it.go()
        assert "PASS" in it.finish().output


def test_filters_of_those_who_have_ended_are_not_kept(place: Path):
    host, go = Host(place, "a"), place / "go"
    try:
        pairs = [f"{k}={v}" for k, v in {**environment(), "ZT_GO": str(go)}.items()]
        command = ["env", "-i", *pairs, python(), str(REAL / "sandboxed.py")]
        host.run("run", "-d", "--name", "many", "--", *command)
        for _ in range(1000):
            if "ready" in host.run("logs", "many").stdout:
                break
        image = place / "image"
        host.run("checkpoint", "many", "--to", str(image))
        with Image.open(image) as opened:
            kept = [entry for entry in read_stored(opened) if entry.room == "seccomp"]
        assert 1 <= len(kept) < 150
        newest = max(struct.unpack("<i", entry.key)[0] for entry in kept)
        assert newest == 301
        go.touch()
    finally:
        host.close()


@pytest.mark.parametrize("command", [["man", "-P", "cat", "manpath"], ["file", "/bin/ls"]])
def test_tools_that_have_one(command: list[str], place: Path):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    native = subprocess.run(command, capture_output=True, text=True, check=True)
    host = Host(place, "a")
    try:
        assert host.run("run", "--", *command).stdout == native.stdout
    finally:
        host.close()

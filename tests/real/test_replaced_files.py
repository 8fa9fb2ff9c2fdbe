"""Files that are other ones than when the image was made: refused by name, allowed by the user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import zaptrace
from harness.hosts import Host
from harness.supervisors import eventually
from harness.world import python
from zaptrace.errors import RestoreError

pytestmark = pytest.mark.slow

PROGRAM = """
import mmap, os, sys, time
home = sys.argv[1]
private = open(f"{home}/table", "rb")
table = mmap.mmap(private.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
private.close()
shared = open(f"{home}/store", "r+b")
store = mmap.mmap(shared.fileno(), 0)
shared.close()
log = open(f"{home}/log", "r+b", buffering=0)
open(f"{home}/ready", "w").close()
while not os.path.exists(f"{home}/go"):
    time.sleep(0.01)
answer = bytes(table[:5]) + b" " + bytes(store[:5]) + b" " + log.read(5)
open(f"{home}/answer.new", "wb").write(answer)
os.rename(f"{home}/answer.new", f"{home}/answer")
"""
FILES = {"table": b"table" * 1000, "store": b"store" * 1000, "log": b"log12" * 1000}


class Stopped:
    """An image of a pod that has its own copy of python, and files mapped privately, shared, and open."""

    def __init__(self, place: Path) -> None:
        self.host = Host(place, "a")
        self.home = place / "home"
        self.home.mkdir()
        self.python = self.home / "python"
        shutil.copy(os.path.realpath(python()), self.python)
        for name, contents in FILES.items():
            (self.home / name).write_bytes(contents)
        self.image = place / "web.zap"
        self.host.run("run", "-d", "--name", "web", "--", self.python, "-c", PROGRAM, self.home)
        eventually((self.home / "ready").exists)
        self.host.run("checkpoint", "web", "--to", self.image, "--stop")

    def replace(self, path: Path, contents: bytes) -> None:
        """As editors and package managers do: another inode at the same path."""
        new = path.with_name("new")
        new.write_bytes(contents)
        shutil.copymode(path, new)
        new.rename(path)

    def answer(self) -> bytes:
        (self.home / "go").touch()
        eventually((self.home / "answer").exists)
        return (self.home / "answer").read_bytes()


@pytest.fixture
def stopped(place: Path) -> Iterator[Stopped]:
    made = Stopped(place)
    yield made
    made.host.close()


@pytest.mark.parametrize("name", [*FILES, "python"])
def test_replaced_by_a_file_of_the_same_size(stopped: Stopped, name: str) -> None:
    path = stopped.home / name
    contents = bytearray(path.read_bytes())
    contents[1] ^= 1  # of an executable, too: it is never executed
    stopped.replace(path, bytes(contents))
    for verb in ("check", "restore"):
        options = ("-d",) if verb == "restore" else ()
        refused = stopped.host.run(verb, stopped.image, *options, check=False)
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert "another file, with other contents" in said, said
        assert str(path) in said
        assert "Traceback" not in said
    assert stopped.host.pods() == []
    if name != "python":
        assert f"--allow-changed {path}" in said
        stopped.host.run("check", stopped.image, "--allow-changed", path)
        stopped.host.run("restore", stopped.image, "-d", "--allow-changed", path)
        expected = {known: data[:5] for known, data in FILES.items()} | {name: bytes(contents[:5])}
        assert stopped.answer() == b" ".join(expected[known] for known in FILES)


def test_the_same_contents_in_another_file_and_more(stopped: Stopped) -> None:
    """What counts is what the program could tell: the contents as far as they went."""
    for name, contents in FILES.items():
        stopped.replace(stopped.home / name, contents + b"and more")
    stopped.replace(stopped.python, stopped.python.read_bytes())
    stopped.host.run("check", stopped.image)
    stopped.host.run("restore", stopped.image, "-d")
    assert stopped.answer() == b"table store log12"


def test_written_in_place(stopped: Stopped) -> None:
    """Data that others may write; but not what is mapped privately."""
    for name in ("store", "log"):
        with open(stopped.home / name, "r+b") as file:
            file.write(b"other")
    stopped.host.run("check", stopped.image)
    with open(stopped.home / "table", "r+b") as file:
        file.write(b"other")
    refused = stopped.host.run("check", stopped.image, check=False)
    assert refused.stdout.count("the same file with other contents") == 1
    assert str(stopped.home / "table") in refused.stdout


def test_from_python(stopped: Stopped, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stopped.host.env.items():
        monkeypatch.setenv(name, value)
    stopped.replace(stopped.home / "log", b"other" * 1000)
    with pytest.raises(RestoreError, match="cannot restore the open file"):
        zaptrace.restore(stopped.image)
    zaptrace.restore(stopped.image, allow_changed=[stopped.home / "log"])
    assert stopped.answer() == b"table store other"

"""Is it still the same file: what counts as a difference, what is read for it, and when nothing is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zaptrace.resources.common import sameness
from zaptrace.resources.common.sameness import CONSTANT, DATA

PIECES = 64 * (1 << 14)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sameness, "_known", {})


def taken(path: Path, kind: str, *, code: bool = False) -> sameness.Print:
    return sameness.take(os.fsencode(path), path.stat(), kind, code=code)


def differs(then: sameness.Print, path: Path) -> str | None:
    return sameness.difference(then, os.fsencode(path))


def replace(path: Path, contents: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(contents)
    new.rename(path)


@pytest.mark.parametrize("kind", [CONSTANT, DATA])
def test_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    then = taken(path, kind)
    assert differs(then, path) is None
    replace(path, b"contents")
    assert differs(then, path) is None
    replace(path, b"contents and more")
    assert differs(then, path) is None
    replace(path, b"Contents")
    assert differs(then, path) == "another file, with other contents"
    replace(path, b"content")
    assert differs(then, path) == "a shorter file (7 bytes, was 8)"


def test_written_in_place(tmp_path: Path) -> None:
    """Data is written while a program runs, and may be while it does not; code is not."""
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    prints = {kind: taken(path, kind) for kind in (CONSTANT, DATA)}
    with open(path, "rb+") as file:
        file.write(b"C")
    assert differs(prints[CONSTANT], path) == "the same file with other contents"
    assert differs(prints[DATA], path) is None


def test_a_reused_inode_number_is_no_sameness(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    then = taken(path, DATA)
    path.write_bytes(b"Contents")
    monkeypatch.setattr(sameness, "_born", lambda path: then.born + 1)
    assert differs(then, path) == "another file, with other contents"


@pytest.mark.parametrize(("kind", "code"), [(CONSTANT, True), (CONSTANT, False), (DATA, False)])
def test_large_files(tmp_path: Path, monkeypatch, kind: str, code: bool) -> None:
    """All of code is read, of other large files pieces: the first and last bytes are among them."""
    monkeypatch.setattr(sameness, "_WHOLE", PIECES)
    path = tmp_path / "file"
    size = 4 * PIECES
    path.write_bytes(bytes(size))
    then = taken(path, kind, code=code)
    for at in (0, size - 1):
        contents = bytearray(size)
        contents[at] = 1
        replace(path, contents)
        assert differs(then, path) == "another file, with other contents"
    unread = bytearray(size)
    unread[2 * sameness._PIECE] = 1
    replace(path, unread)
    assert (differs(then, path) is not None) == code


def test_nothing_is_read_twice_or_without_need(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    os.utime(path)
    read: list[int] = []
    real = sameness._read
    monkeypatch.setattr(sameness, "_read", lambda *args: read.append(args[0]) or real(*args))
    monkeypatch.setattr(sameness, "_RACY_NS", -(10**18))
    then = taken(path, CONSTANT)
    assert taken(path, CONSTANT) == then
    assert differs(then, path) is None
    assert len(read) == 1
    monkeypatch.setattr(sameness, "_RACY_NS", 10**18)  # it may have been written since
    monkeypatch.setattr(sameness, "_known", {})
    taken(path, CONSTANT)
    taken(path, CONSTANT)
    assert len(read) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_bytes(b"code")
    path.chmod(0o111)
    then = taken(path, CONSTANT, code=True)
    assert then.digest == b""
    assert differs(then, path) is None
    path.rename(tmp_path / "old")
    path.write_bytes(b"other code")
    assert differs(then, path) == "another file (10 bytes, was 4)"


def test_missing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    then = taken(path, DATA)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        differs(then, path)

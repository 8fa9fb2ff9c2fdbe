"""Files that have grown are cut back: all, or none."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from zaptrace.errors import RestoreError
from zaptrace.pod.growth import Grown, cut_back


def grown(path: Path, was: bytes, more: bytes) -> Grown:
    path.write_bytes(was + more)
    return Grown(str(path), len(was), len(was + more))


def test_how_it_is_told(tmp_path: Path) -> None:
    file = grown(tmp_path / "a", b"one\n", b"25 bytes that came later\n")
    assert str(file) == f"{tmp_path}/a grew by 25 bytes since the image was made"
    assert "by 1 byte since" in str(grown(tmp_path / "b", b"", b"x"))


def test_all_are_cut(tmp_path: Path) -> None:
    files = [grown(tmp_path / name, b"kept", os.urandom(3 << 20)) for name in "ab"]
    inodes = [os.stat(file.path).st_ino for file in files]
    cut_back(files)
    assert [Path(file.path).read_bytes() for file in files] == [b"kept", b"kept"]
    assert [os.stat(file.path).st_ino for file in files] == inodes


def test_one_that_may_not_be_written(tmp_path: Path) -> None:
    """Then nothing is begun."""
    files = [grown(tmp_path / name, b"kept", b"more") for name in "ab"]
    os.unlink(files[1].path)
    os.mkdir(files[1].path)
    with pytest.raises(RestoreError, match=f"cannot cut back {files[1].path}"):
        cut_back(files)
    assert Path(files[0].path).read_bytes() == b"keptmore"


def test_one_that_cannot_be_cut(tmp_path: Path) -> None:
    """What was cut before it is put back."""
    sealed = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(sealed, b"keptmore")
    fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    tail = os.urandom(3 << 20)
    first = grown(tmp_path / "a", b"kept", tail)
    with pytest.raises(RestoreError, match="cannot cut back /proc/self/fd"):
        cut_back([first, Grown(f"/proc/self/fd/{sealed}", 4, 8)])
    assert Path(first.path).read_bytes() == b"kept" + tail
    assert os.pread(sealed, 99, 0) == b"keptmore"
    os.close(sealed)

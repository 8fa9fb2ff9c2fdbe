"""Files of ours: no descriptor of one is left where it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zaptrace.linux import private


def test_a_descriptor_that_no_file_object_can_be_made_of_is_closed(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        private.as_file(fd, "rb")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_what_is_no_regular_file_leaves_no_descriptor(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no regular file"):
        private.open_to_read(tmp_path / "fifo")
    assert len(os.listdir("/proc/self/fd")) == before


def test_as_much_is_read_as_there_may_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert private.read(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="too large"):
        private.read(tmp_path / "file", 4)

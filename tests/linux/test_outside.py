"""Calls on paths that others have named never wait."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import stat
import threading
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, eventually
from zaptrace.errors import HostError
from zaptrace.linux import outside
from zaptrace.network.keys import Keys
from zaptrace.resources.common import sameness


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_named_pipe_without_a_writer(pipe: Path) -> None:
    fd = outside.open_file(pipe, os.O_RDONLY)
    assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
    assert not os.get_inheritable(fd)
    os.close(fd)
    with pytest.raises(OSError, match="No such device") as caught:
        outside.open_file(pipe, os.O_WRONLY)
    assert caught.value.filename == str(pipe)


def test_a_file_that_was_opened_as_no_link_tells_that(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fd = outside.open_file(tmp_path / "file", os.O_RDONLY | os.O_NOFOLLOW)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    os.close(fd)
    assert flags & os.O_NOFOLLOW and not flags & os.O_NONBLOCK


def test_only_of_the_kind_that_is_wanted(pipe: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is a named pipe"):
        outside.open_file(pipe, os.O_RDONLY, (stat.S_IFREG,))
    with pytest.raises(OSError, match="it is a directory"):
        outside.open_file(tmp_path, os.O_RDONLY, (stat.S_IFREG,))
    with pytest.raises(OSError, match="it is a character device"):
        outside.open_file("/dev/null", os.O_RDONLY, (stat.S_IFREG, stat.S_IFDIR))
    (tmp_path / "file").write_bytes(b"12345")
    os.close(outside.open_file(tmp_path / "file", os.O_RDWR, (stat.S_IFREG,)))
    assert outside.read(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        outside.read(tmp_path / "file", 4)


def test_flags_are_as_they_were_asked(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    (tmp_path / "link").symlink_to(path)
    for flags in (
        os.O_RDONLY,
        os.O_WRONLY | os.O_APPEND,
        os.O_RDWR | os.O_NONBLOCK,
        os.O_RDWR | os.O_SYNC | os.O_NOATIME,
        os.O_PATH,
    ):
        fds = [outside.open_file(path, flags), os.open(path, flags)]
        shown = [(fcntl.fcntl(fd, fcntl.F_GETFL), os.readlink(f"/proc/self/fd/{fd}")) for fd in fds]
        assert shown[0] == shown[1]
        for fd in fds:
            os.close(fd)
    with pytest.raises(OSError) as caught:
        outside.open_file(tmp_path / "link", os.O_RDONLY | os.O_NOFOLLOW)
    assert caught.value.errno == errno.ELOOP
    fd = outside.open_file(tmp_path, os.O_TMPFILE | os.O_RDWR)
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)


def test_a_terminal_does_not_become_ours() -> None:
    master, slave = pty.openpty()
    os.close(outside.open_file(os.ttyname(slave), os.O_RDWR))
    assert os.readlink("/proc/self/fd/0") != os.ttyname(slave)
    os.close(master)
    os.close(slave)


def test_a_file_system_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of the call after all is undone, and others go on meanwhile."""
    monkeypatch.setattr(outside, "LIMIT_S", 0.05)
    answer, undone = threading.Event(), list[int]()

    def work() -> int:
        answer.wait(PATIENCE_S)
        return 7

    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(OSError, match="has not answered") as caught:
            outside.call("/net/file", work, undone.append)
        assert (caught.value.errno, caught.value.filename) == (errno.ETIMEDOUT, "/net/file")
    monkeypatch.setattr(outside, "LIMIT_S", PATIENCE_S)
    assert stat.S_ISDIR(outside.stat("/").st_mode)
    answer.set()
    eventually(lambda: undone == [7, 7, 7])
    eventually(lambda: threading.active_count() <= before + 1)


def test_what_is_no_file_any_more_is_not_the_same(tmp_path: Path) -> None:
    path = tmp_path / "data"
    for content in (b"", b"something"):
        path.write_bytes(content)
        seen = sameness.take(bytes(path), path.stat(), sameness.DATA)
        path.unlink()
        os.mkfifo(path)
        assert sameness.difference(seen, bytes(path)) == "a named pipe"
        path.unlink()


def test_keys_that_are_named_pipes(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.mkfifo(tmp_path / "identity", 0o600)
    with pytest.raises(HostError, match="cannot use our key") as caught:
        Keys(tmp_path)
    assert "named pipe" in caught.value.found

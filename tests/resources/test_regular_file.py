"""The regular_file room: offsets, names that change or go, /proc, and the claim."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.resources import regular_file
from zaptrace.resources.common.libc import libc

_AT_SYMLINK_FOLLOW = 0x400


def test_offset_and_flags(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.write(fd, b"abcdefghij")
    os.lseek(fd, 4, os.SEEK_SET)
    log = os.open(path, os.O_WRONLY | os.O_APPEND)
    before = [fcntl.fcntl(n, fcntl.F_GETFL) for n in (fd, log)]
    world.hold(fd)
    world.hold(log)
    world.round_trip(regular_file)
    assert [fcntl.fcntl(n, fcntl.F_GETFL) for n in (fd, log)] == before
    os.write(log, b"+")
    assert os.read(fd, 100) == b"efghij+"


def test_claims(world: World, tmp_path: Path) -> None:
    r, w = os.pipe()
    memfd = os.memfd_create("x")
    files = {
        "dir": os.open(tmp_path, os.O_RDONLY),
        "null": os.open("/dev/null", os.O_RDWR),
        "path": os.open("/dev/tty", os.O_PATH),
    }
    for fd in files.values():
        assert regular_file.claims(world.hold(fd))
    for fd in (r, w, memfd, os.eventfd(0)):
        assert not regular_file.claims(world.hold(fd))


def test_directory_device_and_path_only(world: World, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    null = os.open("/dev/null", os.O_WRONLY)
    link = os.open(tmp_path / "link", os.O_PATH | os.O_NOFOLLOW)
    for fd in (directory, null, link):
        world.hold(fd)
    world.round_trip(regular_file)
    assert "link" in os.listdir(directory)
    assert os.write(null, b"gone") == 4
    assert os.readlink("", dir_fd=link) == "nowhere"


@pytest.mark.parametrize("writable", [True, False])
def test_deleted_file_travels(world: World, tmp_path: Path, writable: bool) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = home / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    second = os.open(path, os.O_RDONLY)
    os.pwrite(fd, b"head", 0)
    os.pwrite(fd, b"tail", 1 << 24)
    os.lseek(fd, 1 << 24, os.SEEK_SET)
    path.unlink()
    first = world.hold(fd)
    world.hold(second)
    states = world.capture(regular_file)
    assert os.stat(world.image.path(f"file-{first.id}")).st_size < 1 << 17  # the hole stays
    world.kill()
    if not writable:
        home.rmdir()
    world.restore(regular_file, states)
    assert world.inodes == [(first.stat.st_dev, first.stat.st_ino)]
    assert os.read(fd, 100) == b"tail"
    assert os.read(second, 4) == b"head"
    os.pwrite(fd, b"HEAD", 0)
    assert os.pread(second, 4, 0) == b"HEAD"
    with pytest.raises(OSError, match="Bad file"):
        os.write(second, b"x")
    if writable:
        assert os.readlink(f"/proc/self/fd/{fd}") == f"{path} (deleted)"
    now = os.fstat(second)
    assert (now.st_nlink, now.st_size, now.st_mode & 0o777) == (0, (1 << 24) + 4, 0o640)
    assert list(tmp_path.rglob("file")) == []


def test_deleted_and_write_only(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"kept")
    path.unlink()
    world.hold(fd)
    world.round_trip(regular_file)
    os.write(fd, b" on")
    with open(f"/proc/self/fd/{fd}", "rb") as again:
        assert again.read() == b"kept on"


def test_the_name_of_a_terminal_is_refused(world: World) -> None:
    master, slave = os.openpty()
    held = os.open(os.ttyname(slave), os.O_PATH)
    world.hold(held)
    with pytest.raises(UnsupportedResource, match="the name of a terminal"):
        world.capture(regular_file)
    for fd in (master, slave):
        os.close(fd)


def test_temporary_file(world: World, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    os.write(fd, b"temporary")
    world.hold(fd)
    world.round_trip(regular_file)
    os.lseek(fd, 0, os.SEEK_SET)
    assert os.read(fd, 99) == b"temporary"
    assert fcntl.fcntl(fd, fcntl.F_GETFL) == flags


def test_deleted_directory(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    fd = os.open(home, os.O_RDONLY)
    home.rmdir()
    world.hold(fd)
    world.round_trip(regular_file)
    assert os.listdir(fd) == []


def test_renamed_file(world: World, tmp_path: Path) -> None:
    fd = os.open(tmp_path / "old", os.O_RDWR | os.O_CREAT)
    world.hold(fd)
    (tmp_path / "old").rename(tmp_path / "new")
    world.round_trip(regular_file)
    assert os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path / "new")


def test_another_hard_link_is_found(world: World, tmp_path: Path) -> None:
    fd = os.open(tmp_path / "old", os.O_RDWR | os.O_CREAT)
    (tmp_path / "other").hardlink_to(tmp_path / "old")
    (tmp_path / "old").unlink()
    world.hold(fd)
    world.round_trip(regular_file)
    assert os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path / "other")


def test_a_name_elsewhere_is_not_found(world: World, tmp_path: Path) -> None:
    """Then it is carried without one, for all its descriptions together."""
    (tmp_path / "far").mkdir()
    fd = os.open(tmp_path / "old", os.O_RDWR | os.O_CREAT)
    second = os.open(tmp_path / "old", os.O_RDONLY)
    os.write(fd, b"kept")
    (tmp_path / "far/other").hardlink_to(tmp_path / "old")
    (tmp_path / "old").unlink()
    world.hold(fd)
    world.hold(second)
    world.round_trip(regular_file)
    assert os.fstat(fd).st_ino == os.fstat(second).st_ino
    assert os.fstat(fd).st_ino != (tmp_path / "far/other").stat().st_ino
    os.pwrite(fd, b"KE", 0)
    assert os.read(second, 9) == b"KEpt"
    assert (tmp_path / "far/other").read_bytes() == b"kept"


@pytest.mark.parametrize("flags", [os.O_RDWR | os.O_NOFOLLOW, os.O_RDONLY | os.O_SYNC, os.O_PATH])
def test_flags_of_a_removed_file(world: World, tmp_path: Path, flags: int) -> None:
    (tmp_path / "file").write_bytes(b"contents")
    fd = os.open(tmp_path / "file", flags)
    (tmp_path / "file").unlink()
    before = fcntl.fcntl(fd, fcntl.F_GETFL)
    world.hold(fd)
    world.round_trip(regular_file)
    assert fcntl.fcntl(fd, fcntl.F_GETFL) == before
    assert os.fstat(fd).st_nlink == 0
    with open(f"/proc/self/fd/{fd}", "rb") as again:
        assert again.read() == b"contents"


def test_a_temporary_file_for_writing_only(world: World, tmp_path: Path) -> None:
    """It may get a name later, as programs do that write a file and publish it whole."""
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    os.write(fd, b"first ")
    world.hold(fd)
    world.round_trip(regular_file)
    os.write(fd, b"second")
    assert fcntl.fcntl(fd, fcntl.F_GETFL) == flags
    published = os.fsencode(tmp_path / "published")
    assert libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, published, _AT_SYMLINK_FOLLOW) == 0
    assert (tmp_path / "published").read_bytes() == b"first second"


def test_one_removed_directory(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(0o711)
    fds = [os.open(home, os.O_RDONLY | os.O_NOFOLLOW), os.open(home, os.O_PATH)]
    flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds]
    home.rmdir()
    for fd in fds:
        world.hold(fd)
    world.round_trip(regular_file)
    now = [os.fstat(fd) for fd in fds]
    assert now[0].st_ino == now[1].st_ino
    assert now[0].st_mode & 0o7777 == 0o711
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds] == flags
    assert os.readlink(f"/proc/self/fd/{fds[0]}") == f"{home} (deleted)"
    assert not home.exists()


@pytest.mark.parametrize("mode", [0o444, 0])
def test_a_mode_that_forbids_it(world: World, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "object"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    os.write(fd, b"one ")
    world.hold(fd)
    world.round_trip(regular_file)
    os.write(fd, b"two")
    assert os.pread(fd, 9, 0) == b"one two"
    assert path.stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open anything")
def test_a_mode_that_forbids_it_of_another_user(world: World) -> None:
    """Known before anything ends."""
    world.hold(os.open("/etc/passwd", os.O_RDONLY))
    (state,) = world.capture(regular_file)
    world.kill()
    with pytest.raises(RestoreError, match="/etc/passwd") as raised:
        world.restore(regular_file, [dataclasses.replace(state, flags=os.O_RDWR)])
    assert raised.value.found == "Permission denied"


def test_a_rehearsal_is_seen_by_nobody(world: World, tmp_path: Path) -> None:
    object_ = tmp_path / "object"
    gone = os.open(tmp_path / "gone", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    (tmp_path / "gone").unlink()
    (tmp_path / "dir").mkdir()
    directory = os.open(tmp_path / "dir", os.O_RDONLY)
    (tmp_path / "dir").rmdir()
    fd = os.open(object_, os.O_RDWR | os.O_CREAT, 0o444)
    for held in (gone, directory, fd):
        world.hold(held)
    states = world.capture(regular_file)
    before = object_.stat().st_ctime_ns, tmp_path.stat().st_mtime_ns
    world.kill()
    world.restore(regular_file, states, rehearsal=True, contended=True)
    assert (object_.stat().st_ctime_ns, tmp_path.stat().st_mtime_ns) == before


def test_proc_paths_follow_the_process(world: World) -> None:
    fd = os.open("/proc/self/status", os.O_RDONLY)
    task = os.open(f"/proc/self/task/{os.getpid()}/comm", os.O_RDWR)
    plain = os.open("/proc/meminfo", os.O_RDONLY)
    for n in (fd, task, plain):
        world.hold(n)
    states = world.round_trip(regular_file)
    assert [state.path for state in states] == [
        b"/proc/{}/status", b"/proc/{}/task/{}/comm", b"/proc/meminfo"
    ]  # fmt: skip
    assert f"Pid:\t{os.getpid()}" in os.read(fd, 1000).decode()
    assert os.read(plain, 8) == b"MemTotal"


def test_proc_of_another_process_is_refused(world: World) -> None:
    world.hold(os.open("/proc/1/comm", os.O_RDONLY))
    with pytest.raises(UnsupportedResource, match="outside the pod"):
        world.capture(regular_file)


@pytest.mark.parametrize("what", ["missing", "shorter", "directory", "other", "other and longer"])
def test_claim(world: World, tmp_path: Path, what: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    world.hold(os.open(path, os.O_RDONLY))
    states = world.capture(regular_file)
    world.kill()
    path.rename(tmp_path / "old")  # its inode number is not to be had again
    if what == "directory":
        path.mkdir()
    elif what != "missing":
        contents = {"shorter": b"0123", "other": b"012345678X", "other and longer": b"X" * 20}
        path.write_bytes(contents[what])
    with pytest.raises(RestoreError, match="cannot restore the open file") as raised:
        world.restore(regular_file, states)
    assert raised.value.stage == "CLAIM"
    assert not world.provided
    if "other" in what:
        assert f"--allow-changed {path}" in (raised.value.do or "")
        world.restore(regular_file, states, allow_changed=frozenset([os.fsencode(path)]))
        assert len(world.provided) == 1


@pytest.mark.parametrize("how", ["grown", "written in place", "copied and grown"])
def test_a_file_that_others_go_on_writing(world: World, tmp_path: Path, how: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    fd = os.open(path, os.O_RDONLY)
    os.lseek(fd, 8, os.SEEK_SET)
    world.hold(fd)
    states = world.capture(regular_file)
    world.kill()
    if how == "copied and grown":
        path.rename(tmp_path / "old")
        path.write_bytes(b"0123456789")
    with open(path, "rb+") as file:
        file.seek(0 if how == "written in place" else 10)
        file.write(b"ABCDEFGHIJ")
    world.restore(regular_file, states)
    assert os.read(fd, 4) == (b"IJ" if how == "written in place" else b"89AB")


def test_the_directory_of_an_ended_process_is_refused_by_name(world: World) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        directory = os.open(f"/proc/{child.pid}/fd", os.O_RDONLY)
        child.kill()
    with pytest.raises(UnsupportedResource, match="directory of a process that has ended"):
        world.hold(directory)

"""Files of unix sockets: which socket's a file is, where it is now, and whether it is in use.

A socket is known by its file's inode; the name that it was bound to says only where that was made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from ...linux import procfs
from ..common.file import opened
from . import diag as diag

Identity = tuple[int, int]
"""(inode, device), as the kernel numbers them within itself (diag.UnixSocket.file)."""

_32_BITS = 0xFFFFFFFF


def beneath(fd: int, name: bytes) -> bytes:
    """The path of `name` in our directory `fd`, short enough for any address."""
    return b"/proc/self/fd/%d/%s" % (fd, name)


def find(path: bytes, wanted: Identity) -> bytes:
    """Where the file of a socket that was bound at `path` is now, in that directory; b"" if nowhere."""
    if _is(path, wanted):
        return path
    directory = os.path.dirname(path)
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if not _maybe_socket(entry):
                continue
            if _is(entry.path, wanted):
                return entry.path
    return b""


def _maybe_socket(entry: os.DirEntry[bytes]) -> bool:
    if entry.is_symlink() or entry.is_dir(follow_symlinks=False):
        return False
    return not entry.is_file(follow_symlinks=False)


def _is(path: bytes, wanted: Identity) -> bool:
    try:
        with opened(path, os.O_PATH | os.O_NOFOLLOW) as fd:
            return is_socket_file(fd, wanted)
    except OSError:
        return False


def is_socket_file(fd: int, wanted: Identity) -> bool:
    """Is `fd` (O_PATH) the file of the socket whose identity is `wanted`?"""
    seen = os.fstat(fd)
    if not stat.S_ISSOCK(seen.st_mode):
        return False
    device = os.major(seen.st_dev) << 20 | os.minor(seen.st_dev)
    return wanted in ((seen.st_ino & _32_BITS, device), _within_the_kernel(fd))


def _within_the_kernel(fd: int) -> Identity:
    """stat(2) of overlayfs and btrfs makes up its own numbers; /proc has the kernel's."""
    info = procfs.fdinfo(os.getpid(), fd)
    if "ino" not in info:  # before Linux 5.14
        return (0, 0)
    mount = info["mnt_id"][0]
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        number, _parent, device, *_ = line.split(" ", 3)
        if number == mount:
            major, minor = map(int, device.split(":"))
            return (int(info["ino"][0]) & _32_BITS, major << 20 | minor)
    return (0, 0)


def proven_stale(path: bytes) -> bool:
    """Is there surely no socket that this file is of? Of one where nobody else looks for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except PermissionError:
            return _proven_by_its_owner(path)
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False


def _proven_by_its_owner(path: bytes) -> bool:
    """Its mode keeps us from asking, which we may change for that moment if it is ours."""
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    if mode & 0o200:  # then it is a directory, or somebody else, that denies it
        return False
    try:
        os.chmod(path, mode | 0o200)
        return proven_stale(path)
    except PermissionError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.chmod(path, mode)


def in_use(path: bytes) -> bool:
    """Is a socket bound to the file at `path`, in whatever network namespace?

    A datagram socket that connects finds the owner of the file, and disturbs nobody: of another type
    it is told EPROTOTYPE, and a datagram server does not hear of it. Where that is not allowed, we
    know the sockets of our own namespace.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except PermissionError:
            with opened(path, os.O_PATH | os.O_NOFOLLOW) as fd:
                files = [known.file for known in diag.everything()]
                return any(is_socket_file(fd, file) for file in files if file)
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True

"""Files and directories that are ours alone, whatever the umask of whoever started us."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ..errors import HostError

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from typing import IO, Any, TypeAlias

    StrPath: TypeAlias = str | os.PathLike[str]


def make_directory(path: StrPath) -> None:
    """And those above it that are missing, mode 0700. What is there already is left as it is."""
    if os.path.isdir(path):
        return
    make_directory(os.path.dirname(path) or os.curdir)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, 0o700)


def check_directory(path: StrPath, use: str, remedy: str) -> None:
    """It is a directory, no link to one; ours; and nobody else has access. Raises HostError.

    What others may look into is closed; what others may write to is refused, for what lies there
    may be theirs.
    """
    there = os.lstat(path)
    ours = stat.S_ISDIR(there.st_mode) and there.st_uid == os.geteuid()
    if not ours or there.st_mode & 0o022:
        raise HostError(
            f"cannot use {path} as {use}",
            needed=f"a directory owned by uid {os.geteuid()}, mode go-w, and no symbolic link",
            found=f"{stat.filemode(there.st_mode)} owned by uid {there.st_uid}",
            remedy=remedy,
        )
    if there.st_mode & 0o077:
        os.chmod(path, 0o700)


def refuse_link(path: StrPath) -> None:
    """Of what we make none is a symbolic link: whoever put one there wants another file changed."""
    if os.path.islink(path):
        raise HostError(
            f"cannot use {path}: it is a symbolic link",
            needed="a file or directory that zaptrace made",
            found=f"a link to {os.readlink(path)}",
            remedy=f"rm {path}",
        )


def open_file(path: StrPath, flags: int) -> int:
    """A file that is made if it is not there; mode 0600, and never through a symbolic link."""
    fd = _open_regular(path, flags | os.O_CREAT)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) != 0o600:
            os.fchmod(fd, 0o600)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_to_read(path: StrPath) -> int:
    """One that is there. Raises OSError, also for what is no regular file: none of ours is."""
    return _open_regular(path, os.O_RDONLY)


def as_file(fd: int, mode: str, buffering: int = -1) -> IO[Any]:
    """A file object that `fd` belongs to. To make one asks the kernel first: where that fails, `fd` is
    closed, too."""
    try:
        return open(fd, mode, buffering)
    except OSError:
        os.close(fd)
        raise


def read(path: StrPath, most: int) -> bytes:
    """All of it. Raises OSError as `open_to_read`, and with EFBIG when it is more than `most` bytes."""
    if len(data := up_to(open_to_read(path), most + 1)) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fspath(path))
    return data


def up_to(fd: int, most: int) -> bytes:
    """What can be read of `fd`, at most so many bytes; it is closed."""
    data = bytearray()
    with as_file(fd, "rb", buffering=0) as file:
        while len(data) < most and (more := file.read(most - len(data))):
            data += more
    return bytes(data)


def tail(path: StrPath, most: int) -> bytes:
    """Its last bytes, at most so many. Raises OSError as `open_to_read`."""
    with as_file(open_to_read(path), "rb", buffering=0) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        last: bytes = file.read(most)
        return last


def _open_regular(path: StrPath, flags: int) -> int:
    # O_NONBLOCK: a named pipe in its place is not waited for.
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    except BaseException:
        os.close(fd)
        raise
    return fd


def write(path: StrPath, text: str) -> None:
    """The whole file is this text."""
    with as_file(open_file(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(text.encode())


def umask() -> int:
    """That of this process."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022

"""Files that have, or had, a name: regular files, directories, /dev/null and its like, O_PATH.

A file that still has its name is opened by it again, with the same flags and offset; it must be
there, be of the same kind, and be no shorter than it was. A file whose last name is gone travels
in the image, and comes back without a name in the directory where it was, or else where temporary
files live. Paths in /proc that hold a process id are opened under the id of the restored process.

Not carried: contents of files that have a name, leases, dnotify, read-ahead advice, the offset of
a directory where the file system does not keep it stable.

No C half: paths are the host's.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import RestoreError
from ..view.build import Stage
from .common.content import load, save
from .common.file import Description, described, finish, opened, reopen, restoring, unsupported

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "regular_file"

_ONCE = os.O_CREAT | os.O_EXCL | os.O_TRUNC
_MEMORY_DEVICES = {os.makedev(1, minor) for minor in (3, 5, 7, 8, 9)}  # null zero full (u)random
_NO_PATH = re.compile(r"/(memfd:|secretmem|anon_hugepage|dmabuf:|SYSV[0-9a-f]{8} |\[)")
_GONE = " (deleted)"
_PROC_ID = re.compile(rb"/proc/(\d+)(?:/task/(\d+))?(?=/|$)")


@dataclass(frozen=True)
class Inode:
    """A file without a name; its descriptions share it."""

    dev: int
    ino: int
    mode: int
    atime_ns: int
    mtime_ns: int
    runs: list[list[int]]
    part: str


@dataclass(frozen=True)
class State(Description):
    path: bytes
    """The name; for a file without one the name that it had. `{}` stands for ids in /proc."""
    vids: list[int]
    """The processes (and threads) whose ids are in the path."""
    pos: int
    mode: int
    size: int
    rdev: int
    nameless: Inode | None


def claims(file: FrozenFile) -> bool:
    if not file.link.startswith("/") or _NO_PATH.match(file.link):
        return False
    mode = file.stat.st_mode
    if file.flags & os.O_PATH or stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return True
    return stat.S_ISCHR(mode) and file.stat.st_rdev in _MEMORY_DEVICES


def capture(pod: FrozenPod) -> list[State]:
    saved: dict[tuple[int, int], Inode] = {}
    return [_capture(pod, file, saved) for file in pod.files(NAME)]


def restore(states: list[State], build: Build) -> None:
    made: dict[tuple[int, int], int] = {}
    for state in states:
        if state.nameless is not None:
            build.at(Stage.SHARED, _make_nameless, state, build, made)
        elif state.vids:
            build.at(Stage.FILES, _open_proc, state, build)
        else:
            build.at(Stage.CLAIM, _claim, state)
            build.at(Stage.SHARED, _open, state, build, state.path, Stage.SHARED)
    build.at(Stage.SHARED, _forget, made)


# capture


def _capture(pod: FrozenPod, file: FrozenFile, saved: dict[tuple[int, int], Inode]) -> State:
    path = os.fsencode(file.link)
    vids: list[int] = []
    nameless: Inode | None = None
    if path.startswith(b"/proc/"):
        path, vids = _proc_path(pod, file, path)
    elif not _is_at(file, path):
        found = _other_name(file, path)
        if found is not None:
            path = found
        elif _is_nameless(file):
            path = path.removesuffix(_GONE.encode())
            nameless = _save(pod, file, saved)
        else:
            raise unsupported(
                file,
                "is a file that cannot be reached by its name",
                needed="the file at the path that it was opened by, or no file at all",
                found=f"{file.link} is another file, or is not there; the open one still has "
                "a name elsewhere",
                do="give the file its name back, or let the program open it again",
            )
    return State(
        **described(pod, file),
        path=path,
        vids=vids,
        pos=file.pos,
        mode=file.stat.st_mode,
        size=file.stat.st_size,
        rdev=file.stat.st_rdev,
        nameless=nameless,
    )


def _is_at(file: FrozenFile, path: bytes) -> bool:
    try:
        there = os.lstat(path)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (file.stat.st_dev, file.stat.st_ino)


def _is_nameless(file: FrozenFile) -> bool:
    if not file.link.endswith(_GONE) or file.flags & os.O_PATH:
        return False
    return file.stat.st_nlink == 0 or stat.S_ISDIR(file.stat.st_mode)


def _other_name(file: FrozenFile, path: bytes) -> bytes | None:
    """Another hard link in the same directory, for a file that lost the name it was opened by."""
    if file.stat.st_nlink == 0 or not stat.S_ISREG(file.stat.st_mode):
        return None
    with contextlib.suppress(OSError), os.scandir(os.path.dirname(path)) as entries:
        for entry in entries:
            if entry.inode() == file.stat.st_ino and _is_at(file, entry.path):
                return entry.path
    return None


def _save(pod: FrozenPod, file: FrozenFile, saved: dict[tuple[int, int], Inode]) -> Inode:
    key = (file.stat.st_dev, file.stat.st_ino)
    if key in saved:
        return saved[key]
    part = f"file-{file.id}"
    runs: list[list[int]] = []
    if stat.S_ISREG(file.stat.st_mode):
        try:
            own_path = f"/proc/self/fd/{file.local}"
            with opened(own_path, os.O_RDONLY) as own, pod.image.part(part) as writer:
                runs = save(own, writer)
        except OSError as error:
            raise unsupported(
                file,
                "is a file without a name that cannot be read",
                needed="read permission, for its contents travel in the image",
                found=f"{file.link}: {error.strerror or error}",
            ) from error
    else:
        part = ""
    saved[key] = Inode(
        dev=file.stat.st_dev,
        ino=file.stat.st_ino,
        mode=file.stat.st_mode,
        atime_ns=file.stat.st_atime_ns,
        mtime_ns=file.stat.st_mtime_ns,
        runs=runs,
        part=part,
    )
    return saved[key]


def _proc_path(pod: FrozenPod, file: FrozenFile, path: bytes) -> tuple[bytes, list[int]]:
    found = _PROC_ID.match(path)
    if found is None:
        return path, []
    vids: list[int] = []
    for rid in filter(None, found.groups()):
        vid = pod.vpid(int(rid))
        if vid is None:
            raise unsupported(
                file,
                "looks at a process outside the pod, or at one that has ended",
                needed="a file of /proc about a process of the pod",
                do="let the program close it",
            )
        vids.append(vid)
    head = b"/proc/{}" if len(vids) == 1 else b"/proc/{}/task/{}"
    return head + path[found.end() :], vids


# restore


def _open_flags(state: State) -> int:
    flags = state.flags & ~_ONCE & ~os.O_ASYNC
    if stat.S_ISLNK(state.mode):
        flags |= os.O_NOFOLLOW
    return flags | os.O_CLOEXEC | os.O_NOCTTY


def _refused(state: State, needed: str, found: str) -> RestoreError:
    shown = os.fsdecode(state.path)
    return RestoreError(
        f"cannot restore the open file {shown}",
        stage=Stage.CLAIM.name,
        resource=NAME,
        needed=needed,
        found=found,
        do="put the file there as it was when the pod was checkpointed",
    )


def _claim(state: State) -> None:
    try:
        there = os.stat(state.path, follow_symlinks=not stat.S_ISLNK(state.mode))
        if stat.S_IFMT(there.st_mode) == stat.S_IFMT(state.mode):
            with opened(state.path, _open_flags(state)):
                pass
    except OSError as error:
        raise _refused(
            state, f"{_kind(state.mode)} that can be opened again", error.strerror or str(error)
        ) from error
    if stat.S_IFMT(there.st_mode) != stat.S_IFMT(state.mode):
        raise _refused(state, _kind(state.mode), _kind(there.st_mode))
    if stat.S_ISREG(state.mode) and there.st_size < state.size:
        raise _refused(state, f"at least {state.size} bytes", f"{there.st_size} bytes")
    if stat.S_ISCHR(state.mode) and there.st_rdev != state.rdev:
        raise _refused(state, "the same device", "another device")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "a regular file",
        stat.S_IFDIR: "a directory",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a file")


def _open(state: State, build: Build, path: bytes, stage: Stage) -> None:
    with restoring(NAME, stage, f"the open file {os.fsdecode(path)}"):
        _hand_over(state, build, os.open(path, _open_flags(state)))


def _open_proc(state: State, build: Build) -> None:
    path = state.path
    for vid in state.vids:
        path = path.replace(b"{}", b"%d" % build.rpid(vid), 1)
    _open(state, build, path, Stage.FILES)


def _hand_over(state: State, build: Build, fd: int) -> None:
    if state.pos and not state.flags & os.O_PATH:
        os.lseek(fd, state.pos, os.SEEK_SET)
    finish(build, state, fd)


def _make_nameless(state: State, build: Build, made: dict[tuple[int, int], int]) -> None:
    inode = state.nameless
    assert inode is not None
    shown = os.fsdecode(state.path)
    with restoring(NAME, Stage.SHARED, f"the open file {shown}, which has no name any more"):
        fd: int | None
        if stat.S_ISDIR(state.mode):
            name = tempfile.mkdtemp()
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            os.rmdir(name)
            finish(build, state, fd)
            return
        key, fd = (inode.dev, inode.ino), None
        flags = _open_flags(state)
        temporary = flags & os.O_TMPFILE == os.O_TMPFILE
        if key not in made:
            made[key] = _unlinked(state.path, temporary)
            load(build, inode.part, inode.runs, state.size, made[key])
            build.provide_inode(inode.dev, inode.ino, os.dup(made[key]))
            if temporary and flags & os.O_ACCMODE == os.O_RDWR:
                fd = os.dup(made[key])  # the description itself, whose flags say O_TMPFILE too
        if fd is None:
            fd = reopen(made[key], flags & ~os.O_TMPFILE if temporary else flags)
        os.fchmod(made[key], stat.S_IMODE(inode.mode))
        os.utime(made[key], ns=(inode.atime_ns, inode.mtime_ns))
        _hand_over(state, build, fd)


def _unlinked(path: bytes, temporary: bool) -> int:
    """A new file without a name: where `path` was if we may, else among the temporary files.

    If that name is free it is used for a moment, so that it shows in /proc as it did.
    """
    home = os.fsdecode(os.path.dirname(path))
    for where in (home, tempfile.gettempdir()):
        if where == home and not temporary:
            with contextlib.suppress(OSError):
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                fd = os.open(path, flags, 0o600)
                os.unlink(path)
                return fd
        with contextlib.suppress(OSError):
            return os.open(where, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fd, name = tempfile.mkstemp()
    os.unlink(name)
    return fd


def _forget(made: dict[tuple[int, int], int]) -> None:
    while made:
        os.close(made.popitem()[1])

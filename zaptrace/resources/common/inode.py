"""Which file is it? Told by device and inode, never by the look of a name.

A name in /proc is a hint. The kernel appends " (deleted)" to the name of what was removed, but so may
a user; newlines are written as `\\012` in maps, and so may a user; a file that lost the name that it
was opened by may live on under another one. So every name is looked at before it is believed.

A descriptor shows its inode by fstat(2). A mapping shows one in its row of /proc/PID/maps, where some
file systems (overlay, btrfs) show other numbers than stat does: there a file is told by mapping it
ourselves and comparing the two rows. (The links in /proc/PID/map_files need a capability.)

All descriptors and mappings of one inode, in all processes, are one `Inode` here: they get one answer
to the question whether it still has a name, so that they share one file after the restore too.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...linux import outside, procfs
from ...log import log
from .leasing import is_writers
from .libc import libc

if TYPE_CHECKING:
    from ...linux.procfs import Map
    from ...view.frozen import FrozenFile, FrozenPod, FrozenProcess

Key = tuple[int, int]
"""(device, inode)."""

GONE = b" (deleted)"
_NEWLINE = b"\\012"
_MOST_NEWLINES = 6  # in one name, each of which may be what it looks like; with more, all or none
_SIBLINGS = 100_000  # names looked at in one directory, at most

libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED = ctypes.c_void_p(-1).value


@dataclass(eq=False)
class Inode:
    """A file that the pod has open or mapped."""

    key: Key
    """As stat(2) shows it where it can be asked, else as a row of maps does."""
    status: os.stat_result | None = None
    files: list[FrozenFile] = field(default_factory=list)
    shown: list[bytes] = field(default_factory=list)
    """What the kernel calls it; hints."""
    path: bytes | None = None
    """A name that leads to it; None if none was found."""
    executed_by: FrozenProcess | None = None
    """A process that executes it."""

    @property
    def was(self) -> bytes:
        """The name that it had, for one that has none now."""
        return next(iter(self.shown), b"").removesuffix(GONE)

    @property
    def somewhere(self) -> str | None:
        """A path in /proc that leads to it, for us."""
        if self.files:
            return f"/proc/self/fd/{self.files[0].local}"
        return f"{self.executed_by.proc}/exe" if self.executed_by else None

    @property
    def hidden(self) -> bool:
        """Not removed, says the kernel, and yet not found: something is mounted over its name."""
        return self.path is None and any(not name.endswith(GONE) for name in self.shown)

    def is_at(self, path: bytes) -> bool:
        """Does `path` (itself, if it is a symbolic link) lead here?"""
        try:
            there = outside.lstat(path)
        except (OSError, ValueError):
            return False
        return (there.st_dev, there.st_ino) == self.key


class Inodes:
    """Every inode that a frozen pod has open, mapped, or executes. `Inodes.of(pod)`: worked out once."""

    def __init__(self, pod: FrozenPod) -> None:
        self._files: dict[Key, Inode] = {}
        self._rows: dict[Key, Inode] = {}
        for file in pod.all_files:
            self._add_file(file)
        for process in pod.processes:
            self._add_executable(process)
        for process in pod.processes:
            for m in process.maps:
                self._add_row(m)
        self._tell_rows()
        for inode in {id(i): i for i in (*self._files.values(), *self._rows.values())}.values():
            if inode.path is None:
                inode.path = _name_of(inode)
                _warn(inode)

    @classmethod
    def of(cls, pod: FrozenPod) -> Inodes:
        found = pod.worked_out.get(cls) or cls(pod)
        assert isinstance(found, cls)
        pod.worked_out[cls] = found
        return found

    def opened(self, file: FrozenFile) -> Inode:
        return self._files[_key(file.stat)]

    def executed_by(self, process: FrozenProcess) -> Inode:
        return self._files[_key(outside.stat(f"{process.proc}/exe"))]

    def mapped(self, m: Map) -> Inode:
        return self._rows[m.device, m.inode]

    def _add_file(self, file: FrozenFile) -> None:
        key = _key(file.stat)
        inode = self._files.setdefault(key, Inode(key, file.stat))
        inode.files.append(file)
        _hint(inode, os.fsencode(file.link))

    def _add_executable(self, process: FrozenProcess) -> None:
        status = outside.stat(f"{process.proc}/exe")
        inode = self._files.setdefault(_key(status), Inode(_key(status), status))
        inode.executed_by = process
        _hint(inode, os.fsencode(process.exe))

    def _add_row(self, m: Map) -> None:
        if not m.inode:
            return
        key = (m.device, m.inode)
        inode = self._rows.get(key)
        if inode is None:  # numbers that stat shows for a file of ours are that file's
            inode = self._rows[key] = self._files.get(key) or Inode(key)
        for name in _meanings(m.name):
            _hint(inode, name)

    def _tell_rows(self) -> None:
        """Find what stat says of the inodes that only rows are known of."""
        doubtful: dict[Key, list[tuple[bytes, os.stat_result]]] = {}
        for key, inode in self._rows.items():
            if inode.status is not None:
                continue
            for name in _candidates(inode.shown):
                there = _regular(name)
                if there is not None and _key(there) == key:
                    inode.status, inode.path = there, name
                    break
                if there is not None:
                    doubtful.setdefault(key, []).append((name, there))
        for key in doubtful:
            if self._rows[key].status is None:
                self._compare(key, doubtful[key])
        unknown = {key for key, inode in self._rows.items() if inode.status is None}
        if unknown:
            self._compare_files(unknown)

    def _compare(self, key: Key, names: list[tuple[bytes, os.stat_result]]) -> None:
        for name, there in names:
            if row_of_path(name) == key:
                known = self._files.setdefault(_key(there), Inode(_key(there), there, path=name))
                for shown in self._rows[key].shown:
                    _hint(known, shown)
                self._rows[key] = known
                return

    def _compare_files(self, unknown: set[Key]) -> None:
        """Is one of them open or executed? Only where rows show other numbers than stat."""
        for key, inode in self._files.items():
            regular = inode.status is not None and stat.S_ISREG(inode.status.st_mode)
            if key in self._rows or not regular or inode.somewhere is None:
                continue
            if any(map(is_writers, inode.files)):  # which to open would break; it is not mapped
                continue
            row = row_of_path(os.fsencode(inode.somewhere))
            if row in unknown:
                for name in self._rows[row].shown:
                    _hint(inode, name)
                self._rows[row] = inode


def name_of(status: os.stat_result, shown: bytes) -> bytes | None:
    """The name that the kernel shows for this inode, if it leads there; None if it does not."""
    inode = Inode(_key(status), status)
    return next((name for name in _candidates([shown]) if inode.is_at(name)), None)


def row_of_path(path: bytes) -> Key | None:
    """(device, inode) that a mapping of this regular file shows; None where it cannot be mapped."""
    try:
        fd = outside.open_file(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    at = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_PRIVATE, fd, 0)
    os.close(fd)
    if at == _MAP_FAILED:
        return None
    try:
        return next((row.device, row.inode) for row in procfs.rows("self") if row.start == at)
    finally:
        libc.munmap(at, mmap.PAGESIZE)


def _key(status: os.stat_result) -> Key:
    return status.st_dev, status.st_ino


def _hint(inode: Inode, name: bytes) -> None:
    if name.startswith(b"/") and not name.startswith(b"/proc/") and name not in inode.shown:
        inode.shown.append(name)


def _meanings(shown: str) -> Iterator[bytes]:
    """What may be meant by a name in maps: each `\\012` there is a newline, or these characters."""
    parts = os.fsencode(shown).split(_NEWLINE)
    if len(parts) - 1 > _MOST_NEWLINES:
        yield from (_NEWLINE.join(parts), b"\n".join(parts))
        return
    for joints in itertools.product((_NEWLINE, b"\n"), repeat=len(parts) - 1):
        yield b"".join(itertools.chain(*zip(parts, (*joints, b""), strict=True)))


def _candidates(shown: list[bytes]) -> Iterator[bytes]:
    yield from shown
    yield from (name.removesuffix(GONE) for name in shown if name.endswith(GONE))


def _regular(path: bytes) -> os.stat_result | None:
    try:
        there = outside.lstat(path)
    except OSError:
        return None
    kind = stat.S_IFMT(there.st_mode)
    return there if kind in (stat.S_IFREG, stat.S_IFCHR) else None


def _name_of(inode: Inode) -> bytes | None:
    for name in _candidates(inode.shown):
        if inode.is_at(name):
            return name
    if inode.status is not None:
        if inode.status.st_nlink == 0 or stat.S_ISDIR(inode.status.st_mode):
            return None
    elif not inode.shown:
        return None
    return _sibling(inode)


def _sibling(inode: Inode) -> bytes | None:
    """Another hard link, next to the name that was lost."""
    for directory in dict.fromkeys(os.path.dirname(name) for name in inode.shown):
        with contextlib.suppress(OSError):
            for name, number in outside.listing(directory, _SIBLINGS):
                if number != inode.key[1]:
                    continue
                path = os.path.join(directory, name)
                if inode.is_at(path) or (inode.status is None and row_of_path(path) == inode.key):
                    return path
    return None


def _warn(inode: Inode) -> None:
    status = inode.status
    if inode.path is not None or status is None or not inode.was or inode.hidden:
        return
    if status.st_nlink and stat.S_ISREG(status.st_mode):
        log.warning(
            "%s has lost its name; it has another one (%d links) that was not found, "
            "so it is carried as a file without a name",
            os.fsdecode(inode.was),
            status.st_nlink,
        )

"""The files of sockets while a pod is made: each under a private name beside its place.

A socket keeps the name that it was bound to, wherever its file goes. So it is bound in its directory,
whatever stands there being moved aside for that moment; the file is at once given a private name, by
which the sockets of the pod are connected; and when that is done each file goes to its place, or is
removed if the program had removed it. Where the pod's former self has the place still, the file goes
there just before the pod runs.

What stands at a place is replaced only if it is the file of a socket that is no more, which is asked
once it is where nobody else can have it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ...linux import outside
from ...linux.rename import RENAME_EXCHANGE, RENAME_NOREPLACE, rename
from ...linux.scratch import Scratch
from ...log import log
from ..common.libc import apart
from ..common.permission import Permission
from .left import Note, private_name
from .place import beneath, in_use, proven_stale

_ATTEMPTS = 8


def path_of(name: bytes, directory: bytes) -> bytes:
    """Where a socket of this name was bound, `directory` being where its path begins."""
    return os.path.join(directory, name.lstrip(b"/")) if directory else name


def nearest(path: bytes) -> bytes:
    """The directory of `path`, or the nearest above it that is there."""
    while not outside.is_directory(path := os.path.dirname(path)) and path.strip(b"/"):
        continue
    return path


class Directories:
    """Directories of ours: each is open once, as long as a file in it is looked after."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], int] = {}
        self._users: Counter[int] = Counter()
        self.note = Note()
        """Of what has a private name in them."""

    def enter(self, path: bytes) -> int:
        fd = outside.open_file(path, os.O_PATH | os.O_DIRECTORY)
        try:
            seen = os.fstat(fd)
        except BaseException:
            os.close(fd)
            raise
        known = self._open.setdefault((seen.st_dev, seen.st_ino), fd)
        if known != fd:
            os.close(fd)
        self._users[known] += 1
        return known

    def leave(self, fd: int) -> None:
        self._users[fd] -= 1
        if not self._users[fd]:
            del self._users[fd]
            self._open = {key: known for key, known in self._open.items() if known != fd}
            os.close(fd)
        if not self._open:
            self.note.close()


@dataclass
class Spot:
    """The file of one socket."""

    within: Directories
    directory: int
    name: bytes
    """What it is called now."""
    made: list[bytes] = field(default_factory=list)
    """Directories that are there for this file alone, outermost first."""
    scratch: Scratch | None = None
    """Noted as long as there is anything in it, for the pod may go on with that."""
    in_place: bool = False

    @property
    def address(self) -> bytes:
        """For connect(2) in our process."""
        return beneath(self.directory, self.name)

    def path(self, name: bytes) -> bytes:
        """The path of a name in its directory."""
        return os.path.join(os.readlink(b"/proc/self/fd/%d" % self.directory), name)

    def move_into_place(self, place: bytes, permission: Permission) -> None:
        """The file goes to `place`, a name in its directory, or (b"") is removed. Once is enough.

        Raises OSError with EADDRINUSE if something stands there that is not to be replaced; then
        it can be tried again.
        """
        if self.in_place:
            return
        if place:
            permission.give(self.address)
            _publish(self.directory, self.name, place, self.within.note)
            self.name = place
        else:
            self.remove()
        self.in_place = True

    def keep(self, place: bytes, permission: Permission) -> None:
        """The pod runs: it is its own."""
        self.move_into_place(place, permission)
        self.close()

    def give_up(self) -> None:
        """The pod will never run."""
        self.remove()
        self.close()

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.address)

    def close(self) -> None:
        """Leave the file as it is."""
        self.within.leave(self.directory)
        for path in reversed(self.made):
            with contextlib.suppress(OSError):  # somebody uses it by now
                os.rmdir(path)
        if self.scratch is not None and not os.path.lexists(self.scratch.path):
            self.scratch.keep()


def bind(sock: socket.socket, name: bytes, directory: bytes, within: Directories) -> Spot:
    """Bind `sock` to a path, as one that begins in `directory` if that is given."""
    return bind_each([sock], [name], directory, within)[0]


def bind_each(
    socks: Sequence[socket.socket], names: Sequence[bytes], directory: bytes, within: Directories
) -> list[Spot]:
    """The same of several, for which at most one process is forked."""
    wanted: list[_Wanted] = []
    bound = 0
    try:
        for sock, name in zip(socks, names, strict=True):
            base, made, scratch = _ground(name, directory)
            at = within.enter(os.path.dirname(path_of(name, base)))
            wanted.append(
                _Wanted(sock, name, base, Spot(within, at, private_name(), made, scratch))
            )
            within.note.add(at, wanted[-1].spot.name, os.path.basename(name))
        relative = any(not name.startswith(b"/") for name in names)
        bound, error = apart(partial(_bind_all, wanted)) if relative else _bind_all(wanted)
        if error is not None:
            raise error
    except BaseException:
        for one in wanted[:bound]:
            one.spot.remove()
        for one in wanted:
            one.spot.close()
        raise
    for one in wanted:
        os.chmod(one.spot.address, 0o600)  # we have to connect to it ourselves
    return [one.spot for one in wanted]


@dataclass(frozen=True)
class _Wanted:
    sock: socket.socket
    name: bytes
    base: bytes
    """The directory that the name begins in."""
    spot: Spot


def _bind_all(wanted: Sequence[_Wanted]) -> tuple[int, BaseException | None]:
    """How many have their files, and why the next has not. Relative ones change our directory."""
    for number, one in enumerate(wanted):
        try:
            _bind(one)
        except BaseException as error:
            return number, error
    return len(wanted), None


def _ground(name: bytes, directory: bytes) -> tuple[bytes, list[bytes], Scratch | None]:
    """The directory to bind a name in, and what was made for it where that is no more.

    A name that begins at the root has to be bound there; any other may as well elsewhere.
    """
    path = path_of(name, directory)
    if name.startswith(b"/") or (directory and outside.is_directory(os.path.dirname(path))):
        return directory, _make_directories(path), None
    scratch = Scratch("zt")
    top = os.fsencode(scratch.path)
    base = os.path.join(top, *[b"d"] * name.split(b"/").count(b".."))
    return base, [top, *_make_directories(path_of(name, base))], scratch


def _make_directories(path: bytes) -> list[bytes]:
    """Those above `path` that are not there."""
    missing = []
    while not outside.is_directory(path := os.path.dirname(path)) and path.strip(b"/"):
        missing.append(path)
    for directory in reversed(missing):
        os.mkdir(directory, 0o700)
    return missing[::-1]


def _bind(one: _Wanted) -> None:
    spot, leaf = one.spot, os.path.basename(one.name)
    occupied = os.path.lexists(beneath(spot.directory, leaf))
    if occupied:
        _move(spot.directory, leaf, spot.name)
    try:
        if not one.name.startswith(b"/"):
            os.chdir(one.base)
        one.sock.bind(one.name)
    except BaseException:
        if occupied:
            _move(spot.directory, spot.name, leaf)
        raise
    if occupied:
        _swap(spot.directory, spot.name, leaf)
    else:
        _move(spot.directory, leaf, spot.name)


def _move(directory: int, old: bytes, new: bytes) -> None:
    """Raises FileExistsError if `new` is there."""
    try:
        rename(directory, old, new, RENAME_NOREPLACE)
    except OSError as error:
        if error.errno != errno.EINVAL:  # this file system cannot refuse to replace
            raise
        if os.path.lexists(beneath(directory, new)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)


def _swap(directory: int, one: bytes, other: bytes) -> None:
    try:
        rename(directory, one, other, RENAME_EXCHANGE)
    except OSError as error:
        if error.errno != errno.EINVAL:  # this file system cannot exchange
            raise
        between = private_name()
        _move(directory, other, between)
        _move(directory, one, other)
        _move(directory, between, one)


def _publish(directory: int, private: bytes, place: bytes, note: Note) -> None:
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileExistsError):
            _move(directory, private, place)
            return
        aside = private_name()
        with contextlib.suppress(FileNotFoundError):
            if not _may_be_stale(directory, place):
                break
            note.add(directory, aside, place)
            _move(directory, place, aside)
            if not proven_stale(beneath(directory, aside)):
                _put_back(directory, aside, place)
                break
            os.unlink(beneath(directory, aside))
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), os.fsdecode(place))


def _may_be_stale(directory: int, name: bytes) -> bool:
    """The file of a socket that is no more, as far as can be seen where it is?"""
    path = beneath(directory, name)
    return stat.S_ISSOCK(outside.lstat(path).st_mode) and not in_use(path)


def _put_back(directory: int, aside: bytes, place: bytes) -> None:
    try:
        _move(directory, aside, place)
    except FileExistsError:
        log.warning(
            "%s was taken twice at once: what stood there is %s now",
            os.fsdecode(place),
            os.fsdecode(aside),
        )

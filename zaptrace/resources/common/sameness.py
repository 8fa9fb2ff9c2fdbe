"""Is the file at a path still the one that it was when the pod was checkpointed?

What a program maps privately it takes for constant: its code, its libraries, its tables. Such a file
has to have the same contents, up to the size that it had, wherever the pod goes on (`CONSTANT`).
A file that is open, or mapped shared, may be written by others while the pod runs, so it may be when
it does not: the same inode is enough. Another file at its path has to have the same contents
(`DATA`). Growing is never a difference; being shorter always is.

Contents are compared by blake3. Code is read whole; of other large files pieces are read, spread
over all of it. A file that could not be read is told by its size. Nothing is read where device,
inode, birth, size and change time say that nothing was written since.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from blake3 import blake3

from ...linux import outside
from ...shapes import I64, U64, Length, OneOf, Size
from .file import opened
from .libc import libc

CONSTANT, DATA = "constant", "data"

_OF_DIGESTS = (stat.S_IFREG,)
_MAPPED = (stat.S_IFREG, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFDIR)
_WHOLE = 64 << 20
"""Constant files up to this size are read whole; of larger ones, unless they are code, pieces."""
_PIECE, _PIECES = 1 << 14, 64
_DATA_PIECES = 8
_BITE = 1 << 20
_RACY_NS = 100_000_000
"""A file changed just now may change again without its change time showing it."""

_AT_FDCWD, _STATX_BTIME = -100, 0x800
_STATX_SIZE, _STATX_BTIME_AT, _STATX_MASK = 256, 80, struct.Struct("=I")
_FS_IOC_GETVERSION = 0x80087601
_STATX_TIME = struct.Struct("=qI")


@dataclass(frozen=True)
class Print:
    """What a file was when the pod was checkpointed."""

    kind: Annotated[str, OneOf(CONSTANT, DATA)]
    """`constant` or `data`."""
    code: bool
    device: U64
    inode: U64
    born: I64
    """See `_born`."""
    changed_ns: I64
    size: Size
    digest: Annotated[bytes, Length(0, 64)]
    """Of its contents up to `size`; empty where it could not be read."""


_known: dict[tuple[int, ...], bytes] = {}
"""Digests of this process's life by device, inode, change time, size and amount."""


def take(
    path: bytes,
    status: os.stat_result,
    kind: str,
    *,
    code: bool = False,
    through: int | None = None,
) -> Print:
    """The print of the file that `status` is of and `path` leads to.

    One that may not be opened is read `through` a descriptor, whose offset stays; -1: not at all.
    """
    return Print(
        kind=kind,
        code=code,
        device=status.st_dev,
        inode=status.st_ino,
        born=_born(path, through),
        changed_ns=status.st_ctime_ns,
        size=status.st_size,
        digest=_digest(path, status.st_size, kind, code, through)
        if stat.S_ISREG(status.st_mode)
        else b"",
    )


def difference(then: Print, path: bytes) -> str | None:
    """How the file at `path` differs from what it was; None if a program could not tell.

    Raises OSError where there is none.
    """
    now = outside.stat(path)
    if stat.S_IFMT(now.st_mode) not in (_OF_DIGESTS if then.digest else _MAPPED):
        return outside.kind(now.st_mode)
    if now.st_size < then.size:
        return f"a shorter file ({now.st_size} bytes, was {then.size})"
    same = (now.st_dev, now.st_ino, _born(path)) == (then.device, then.inode, then.born)
    if same and then.kind == DATA:
        return None
    if same and (now.st_ctime_ns, now.st_size) == (then.changed_ns, then.size):
        return None
    if not then.digest:
        if then.size == now.st_size:
            return None
        return f"another file ({now.st_size} bytes, was {then.size})"
    if _digest(path, then.size, then.kind, then.code) == then.digest:
        return None
    return "the same file with other contents" if same else "another file, with other contents"


def _digest(path: bytes, size: int, kind: str, code: bool, through: int | None = None) -> bytes:
    """Of the first `size` bytes; empty if they cannot be read."""
    pieces = 0 if code or (kind == CONSTANT and size <= _WHOLE) else _PIECES
    pieces = _DATA_PIECES if kind == DATA else pieces
    try:
        with _to_read(path, through) as fd:
            status = os.fstat(fd)
            key = (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size, size, pieces)
            if key not in _known:
                found = _read(fd, size, pieces)
                if time.time_ns() - status.st_ctime_ns < _RACY_NS:
                    return found
                _known[key] = found
            return _known[key]
    except OSError:
        return b""


def _to_read(path: bytes, through: int | None) -> contextlib.AbstractContextManager[int]:
    if through is None:
        return opened(path, os.O_RDONLY | os.O_NONBLOCK)
    return contextlib.nullcontext(through)


def _read(fd: int, size: int, pieces: int) -> bytes:
    sum_ = blake3(size.to_bytes(8, "little"))
    for at, length in _places(size, pieces):
        end = at + length
        while at < end:
            data = os.pread(fd, min(_BITE, end - at), at)
            if not data:
                return b""
            sum_.update(data)
            at += len(data)
    return sum_.digest()


def _places(size: int, pieces: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of what is read: all of it, or pieces from the first bytes to the last."""
    if not pieces or size <= pieces * _PIECE:
        yield 0, size
        return
    for i in range(pieces):
        yield (size - _PIECE) * i // (pieces - 1), _PIECE


def birth_ns(path: bytes) -> int | None:
    """None where the file system does not keep it."""
    if hasattr(libc, "statx"):
        raw = ctypes.create_string_buffer(_STATX_SIZE)
        if libc.statx(_AT_FDCWD, path, 0, _STATX_BTIME, raw) == 0:
            (mask,) = _STATX_MASK.unpack_from(raw)
            if mask & _STATX_BTIME:
                seconds, ns = _STATX_TIME.unpack_from(raw, _STATX_BTIME_AT)
                return int(seconds * 10**9 + ns)
    return None


def _born(path: bytes, through: int | None = None) -> int:
    """Tells a file from an earlier one that had the same inode number: its birth time, or else the
    generation of its inode; 0 where the file system keeps neither."""
    if (born := birth_ns(path)) is not None:
        return born
    generation = bytes(8)
    with contextlib.suppress(OSError), _to_read(path, through) as fd:
        generation = fcntl.ioctl(fd, _FS_IOC_GETVERSION, generation)
    return int.from_bytes(generation, "little")

"""The System V objects of a pod, as its tracer keeps them (csrc/pod/ipc.h).

Only from the tracer's thread. Functions raise OSError with the kernel's errno.
"""

from __future__ import annotations

import array
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from ..shapes import I32, I64, U16, U32, Id, Length, NamesLiving, OneOf, Range, Size
from .native import Handle, ffi, lib

if TYPE_CHECKING:
    from .._native import zt_ipc

SHM, SEM, MSG = lib.ZT_IPC_SHM, lib.ZT_IPC_SEM, lib.ZT_IPC_MSG

_PAGE = 4096
_SHM_LOCK, _SHM_LOCKED = 11, 0o2000
_libc = ctypes.CDLL(None, use_errno=True)
_UNDO = struct.Struct("<3i")
_TYPE = struct.Struct("<q")


@dataclass(frozen=True)
class Object:
    """One of them; ids of processes are the pod's.

    stamps   who used it last, and when, as programs are told: shm atime, dtime, ctime, lpid; sem
             otime, ctime; msg stime, rtime, ctime, lspid, lrpid
    size     bytes of a segment, semaphores of a set, bytes that a queue may hold
    removed  a segment that goes with its last attachment
    locked   a segment that stays in memory (SHM_LOCK)
    """

    kind: Annotated[int, OneOf(SHM, SEM, MSG)]
    vid: Annotated[int, Range(0, (1 << 31) - 1)]
    key: I32
    creator: Id
    removed: bool
    locked: bool
    mode: Annotated[int, Range(0, 0o777)]
    uid: U32
    gid: U32
    size: Size
    stamps: Annotated[list[I64], Length(lib.ZT_IPC_STAMPS)]
    cuid: U32 | None = None
    cgid: U32 | None = None
    """Who has made it; None: its owner."""


@dataclass(frozen=True)
class Undo:
    """What is undone to a semaphore when a process ends (SEM_UNDO)."""

    process: NamesLiving
    semaphore: U16
    by: Annotated[int, Range(-32767, 32767)]


def objects(pod: Handle) -> list[Object]:
    """All that the pod has."""
    ipcs = lib.zt_pod_ipcs(pod)
    found = []
    one = lib.zt_ipc_next(ipcs, ffi.NULL)
    while one:
        found.append(
            Object(
                one.kind,
                one.vid,
                one.key,
                one.creator,
                bool(one.removed),
                bool(one.mode & _SHM_LOCKED),
                one.mode & 0o777,
                one.uid,
                one.gid,
                one.size,
                list(one.stamps),
                one.cuid,
                one.cgid,
            )
        )
        one = lib.zt_ipc_next(ipcs, one)
    return found


def virtual(pod: Handle, kind: int, rid: int) -> int | None:
    """The pod's number for one of the kernel's; None for an object that is not the pod's."""
    vid = lib.zt_ipc_virtual(lib.zt_pod_ipcs(pod), kind, rid)
    return None if vid < 0 else vid


def real(pod: Handle, kind: int, vid: int) -> int | None:
    """The kernel's number for one of the pod's."""
    rid = lib.zt_ipc_real(lib.zt_pod_ipcs(pod), kind, vid)
    return None if rid < 0 else rid


def make(pod: Handle, like: Object) -> None:
    """A new object; a segment is all zeros, a set is of zeros, a queue is empty."""
    _checked(lib.zt_ipc_make(lib.zt_pod_ipcs(pod), _native(like)))


def settle(pod: Handle, like: Object) -> None:
    """When all is done that we do to it: from now on programs are told what they did."""
    _checked(lib.zt_ipc_settle(lib.zt_pod_ipcs(pod), _native(like)))


def _native(like: Object) -> zt_ipc:
    fields = {**asdict(like), "rid": -1}
    del fields["locked"]
    fields["cuid"] = like.uid if like.cuid is None else like.cuid
    fields["cgid"] = like.gid if like.cgid is None else like.cgid
    return ffi.new("zt_ipc *", fields)


def lock(pod: Handle, vid: int) -> None:
    """A segment stays in memory from now on."""
    if _libc.shmctl(real(pod, SHM, vid), _SHM_LOCK, None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def segment(pod: Handle, vid: int, size: int) -> Iterator[memoryview]:
    """The bytes of a segment; those of one that was removed may only be read."""
    ipcs = lib.zt_pod_ipcs(pod)
    held = lib.zt_ipc_hold(ipcs, vid)
    if not held:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    try:
        with memoryview(ffi.buffer(held, size)) as view:
            yield view
    finally:
        lib.zt_ipc_let_go(ipcs, vid)


def resident(pod: Handle, vid: int, offset: int, size: int) -> bytes:
    """Of a segment that is open: a byte for each page, 0 where it holds nothing."""
    pages = bytearray(-(-size // _PAGE))
    with_pages = ffi.from_buffer(pages, require_writable=True)
    _checked(lib.zt_ipc_resident(lib.zt_pod_ipcs(pod), vid, offset, size, with_pages))
    return bytes(pages)


def values(pod: Handle, vid: int, count: int) -> tuple[list[int], list[int]]:
    """The values of a set of so many semaphores, and who changed each last (0: nobody)."""
    found, pids = bytearray(2 * count), bytearray(4 * count)
    ipcs = lib.zt_pod_ipcs(pod)
    _checked(
        lib.zt_ipc_values(
            ipcs,
            vid,
            ffi.from_buffer(found, require_writable=True),
            ffi.from_buffer(pids, require_writable=True),
        )
    )
    return list(array.array("H", found)), list(array.array("i", pids))


def set_values(pod: Handle, vid: int, wanted: list[int], pids: list[int]) -> None:
    """The opposite of `values`."""
    raw, by = ffi.from_buffer(array.array("H", wanted)), ffi.from_buffer(array.array("i", pids))
    _checked(lib.zt_ipc_set_values(lib.zt_pod_ipcs(pod), vid, raw, by))


def undos(pod: Handle, vid: int) -> list[Undo]:
    """What will be undone to the semaphores of a set."""
    ipcs = lib.zt_pod_ipcs(pod)
    count = lib.zt_ipc_undos(ipcs, vid, ffi.from_buffer(bytearray(1)), 0)
    raw = bytearray(_UNDO.size * max(count, 1))
    lib.zt_ipc_undos(ipcs, vid, ffi.from_buffer(raw, require_writable=True), count)
    return [Undo(*one) for one in _UNDO.iter_unpack(bytes(raw[: _UNDO.size * count]))]


def note_undo(pod: Handle, vid: int, undo: Undo) -> None:
    """That one will be. The process itself has to have said so to the kernel."""
    ipcs = lib.zt_pod_ipcs(pod)
    _checked(lib.zt_ipc_note_undo(ipcs, vid, undo.process, undo.semaphore, undo.by))


def message(pod: Handle, vid: int, index: int, most: int) -> tuple[int, bytes] | None:
    """Type and text of a message, which stays in its queue; None behind the last one."""
    raw = bytearray(_TYPE.size + most)
    ipcs, buffer = lib.zt_pod_ipcs(pod), ffi.from_buffer(raw, require_writable=True)
    size = lib.zt_ipc_message(ipcs, vid, index, buffer, most)
    if size == -errno.ENOMSG:
        return None
    _checked(size)
    (kind,) = _TYPE.unpack_from(raw)
    return kind, bytes(raw[_TYPE.size : _TYPE.size + size])


def send(pod: Handle, vid: int, kind: int, text: bytes) -> None:
    """Put a message at the end of a queue."""
    raw = ffi.from_buffer(_TYPE.pack(kind) + text)
    _checked(lib.zt_ipc_send(lib.zt_pod_ipcs(pod), vid, raw, len(text)))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result

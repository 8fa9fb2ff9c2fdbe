"""Contexts of asynchronous I/O, io_setup(2): the ring in which the ends of requests are told.

The kernel keeps: the ring, a mapping that is found by its address, with its head (what was fetched)
and tail (what has ended), and requests that are under way. Those are waited for: they end by
themselves, but for polls. How many there are the C half has counted.
A new context has an empty ring, whose tail only the kernel moves: as many requests as the old one
has seen are made of a file in memory, and what was not fetched is then written over their ends.
Not carried: polls that wait (IOCB_CMD_POLL), the copy of a ring that a child inherits (refused).
The size of a ring depends on the number of processors: one that cannot be made so large is refused.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import time
from dataclasses import dataclass
from typing import Annotated

from ..errors import RestoreError, UnsupportedResource
from ..linux import procfs
from ..linux.program import Program, number_of
from ..shapes import U32, Address, Multiple, NamesLiving, Range
from ..view.build import Build, BuildProcess, Stage
from ..view.frozen import FrozenPod, FrozenProcess
from .common.aio import ROOM, Noted, noted
from .common.aio import is_note as is_note
from .room import Whole, bad

NAME = ROOM

_HEAD = struct.Struct("<8I")
"""struct aio_ring: id, nr, head, tail, magic, features, more of them, its own size."""
_EVENT = 32
_HEAD_AT = 8
_MAGIC = 0xA10A10A1
_PATIENCE_S = 5.0
_AT_ONCE = 32
_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    address: Address
    size: Annotated[int, Range(mmap.PAGESIZE, 1 << 30)]
    most: Annotated[int, Range(1, 1 << 24)]
    """For so many requests it was made."""
    slots: U32
    head: U32
    tail: U32
    events: Annotated[bytes, Multiple(_EVENT)]
    """What was not fetched, from head to tail."""


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        who = f"the AIO context of process {state.vpid} at {state.address:#x}"
        if (state.address | state.size) % mmap.PAGESIZE:
            raise bad(f"{who} is no range of pages")
        if not max(state.head, state.tail) < state.slots <= (state.size - _HEAD.size) // _EVENT:
            raise bad(f"{who} has a ring that has no place in it", found=f"{state.slots} slots")
        if len(state.events) != (state.tail - state.head) % state.slots * _EVENT:
            raise bad(f"{who} has another number of events than from head to tail")


def capture(pod: FrozenPod) -> list[State]:
    return [
        _capture(process, m.start, m.size, of)
        for process in pod.memories
        for m in process.maps
        if (of := noted(pod, process, m))
    ]


def _capture(process: FrozenProcess, address: int, size: int, of: Noted) -> State:
    until = time.monotonic() + _PATIENCE_S
    while True:
        raw = process.read(address, size)
        _, slots, head, tail, magic, *_ = _HEAD.unpack_from(raw)
        if magic != _MAGIC or not slots or max(head, tail) >= slots:
            raise _unsupported(process, address, "its ring was overwritten by the program")
        under_way = (of.given - tail) % slots
        if not under_way:
            break
        if time.monotonic() >= until:
            raise _unsupported(process, address, f"{under_way} requests do not come to an end")
        time.sleep(0.001)
    waiting = [(head + i) % slots for i in range((tail - head) % slots)]
    events = b"".join(raw[_HEAD.size + _EVENT * i :][:_EVENT] for i in waiting)
    return State(process.vpid, address, size, of.most, slots, head, tail, events)


def _unsupported(process: FrozenProcess, address: int, found: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot checkpoint process {process.vpid} ({process.comm}): asynchronous I/O is under way",
        needed="every request of its AIO contexts done",
        found=f"of the context at {address:#x}, {found}",
        do="try again, or let the program cancel its polls (IOCB_CMD_POLL)",
    )


# -- restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.CLAIM, _requests, state)
        build.at(Stage.THREADS, _make, state, build)


def _requests(state: State) -> int:
    """For how many requests a context has to be made here, to have such a ring."""
    per_page = mmap.PAGESIZE // _EVENT
    for most in (state.most, (state.slots - 2) // 2):
        if _size_here(most) == state.size:
            return most
    raise RestoreError(
        f"cannot restore process {state.vpid}: its AIO context at {state.address:#x}",
        stage=Stage.CLAIM.name,
        resource=NAME,
        vpid=state.vpid,
        needed=f"a ring of {state.size // mmap.PAGESIZE} pages of {per_page} events",
        found="this kernel makes larger ones, as the host has more processors, or none at all",
        do="restore on a host with as many processors, and see /proc/sys/fs/aio-max-nr",
        changed="nothing",
    )


def _size_here(most: int) -> int:
    """Bytes of the ring of such a context on this host; 0: it cannot be made."""
    libc = ctypes.CDLL(None, use_errno=True)
    context = ctypes.c_ulong()
    if most < 1 or libc.syscall(number_of("io_setup"), most, ctypes.byref(context)):
        return 0
    try:
        return next(m.size for m in procfs.maps(os.getpid()) if m.start == context.value)
    finally:
        libc.syscall(number_of("io_destroy"), context)


def _make(state: State, build: Build) -> None:
    process = build.process(state.vpid)
    made = Program()
    place = made.buffer(8)
    made.call("io_setup", _requests(state), place)
    file = made.call("memfd_create", made.string("aio"), 0)
    results = process.run(made)
    (address,) = struct.unpack("<Q", results.bytes(place))
    program = Program()
    size, flags = state.size, _MREMAP_MAYMOVE | _MREMAP_FIXED
    program.call("mremap", address, size, size, flags, state.address)
    waiting = len(state.events) // _EVENT
    _see_end(program, state, results[file], state.head)
    _see_end(program, state, results[file], waiting, fetch=False)
    program.call("close", results[file])
    process.run(program)
    _write(process, state)


def _see_end(program: Program, state: State, file: int, count: int, *, fetch: bool = True) -> None:
    """So many requests, to read nothing, that are done at once."""
    request = program.data(struct.pack("<QIIHhIQQqQII", 0, 0, 0, 0, 0, file, 0, 0, 0, 0, 0, 0))
    at_once = min(_AT_ONCE, state.most)
    requests = program.pointer(bytes(8 * at_once), {8 * i: request for i in range(at_once)})
    events = program.buffer(_EVENT * at_once)
    while count:
        some = min(count, at_once)
        program.call("io_submit", state.address, some, requests)
        if fetch:
            program.call("io_getevents", state.address, some, some, events, 0)
        count -= some


def _write(process: BuildProcess, state: State) -> None:
    """What was not fetched, into the ring, where it stands as it stood."""
    memory = os.open(f"/proc/{process.rpid}/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        head, tail = struct.unpack("<II", os.pread(memory, 8, state.address + _HEAD_AT))
        if (head, tail) != (state.head, state.tail):
            raise RestoreError(
                f"cannot restore process {state.vpid}: its AIO context at {state.address:#x}",
                vpid=state.vpid,
                needed=f"a ring whose head is {state.head} and whose tail is {state.tail}",
                found=f"{head} and {tail}",
            )
        for i in range(len(state.events) // _EVENT):
            at = state.address + _HEAD.size + _EVENT * ((state.head + i) % state.slots)
            os.pwrite(memory, state.events[_EVENT * i :][:_EVENT], at)
    finally:
        os.close(memory)

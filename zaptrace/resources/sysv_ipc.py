"""System V shared memory, semaphores and message queues, sysvipc(7).

The kernel keeps of each: owner, mode, who used it last and when; the bytes of a segment; the values
of semaphores, who changed each, and what is undone to them at the end of a process; messages.
Keys are the pod's own, and numbers stay what they were: the C half translates them. It also keeps
what the kernel tells nobody (SEM_UNDO), and removes what is left when the pod ends.
Attachments are mappings: the memory room makes them. Those who wait for a semaphore or a message do so
again in their order (csrc/loop/freeze.c). /proc/sysvipc is still the host's.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from ..errors import BadImage, UnsupportedResource
from ..linux import ipc
from ..linux.program import Program
from ..shapes import Data, Id, PartOrNone, Range, Size
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod
from .common.file import restoring
from .room import Whole, bad

NAME = "sysv_ipc"

_PAGE = 4096
_BITE = 1 << 20
_MOST_TEXT = 1 << 24
_SEM_UNDO, _SEMVMX = 0x1000, 32767


@dataclass(frozen=True)
class Run:
    """Bytes of a segment, which follow those of the run before in its part."""

    offset: Size
    size: Size


@dataclass(frozen=True)
class Message:
    type: Annotated[int, Range(1, (1 << 63) - 1)]
    text: Data


@dataclass(frozen=True)
class State:
    of: ipc.Object
    part: PartOrNone
    """Where the bytes of a segment are."""
    runs: list[Run]
    values: list[Annotated[int, Range(0, _SEMVMX)]]
    pids: list[Id]
    """Who changed each semaphore last; 0: nobody."""
    undos: list[ipc.Undo]
    messages: list[Message]


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("System V object", [(state.of.kind, state.of.vid) for state in states])
    whole.give_once("segment", [state.of.vid for state in states if state.of.kind == ipc.SHM])
    for state in states:
        one, who = state.of, f"System V object {state.of.vid}"
        if one.kind == ipc.SHM:
            at = 0
            for run in state.runs:
                if run.offset < at or run.offset + run.size > one.size:
                    raise bad(f"{who} has bytes behind its end, or twice")
                at = run.offset + run.size
            whole.refuse_beyond(state.part, sum(run.size for run in state.runs))
        count = one.size if one.kind == ipc.SEM else 0
        if len(state.values) != count or len(state.pids) != count:
            raise bad(f"{who} has other semaphores than it has", str(count), str(len(state.values)))
        if any(undo.semaphore >= count for undo in state.undos):
            raise bad(f"{who} undoes something to a semaphore that it has not")
        if not all(undo.by for undo in state.undos):
            raise bad(f"{who} undoes nothing: to ask for that is to wait until a semaphore is 0")
        if state.messages and one.kind != ipc.MSG:
            raise bad(f"{who} has messages, and is no queue")


def capture(pod: FrozenPod) -> list[State]:
    return [_capture(pod, one) for one in ipc.objects(pod.handle)]


def _capture(pod: FrozenPod, one: ipc.Object) -> State:
    state = State(one, "", [], [], [], [], [])
    if one.kind == ipc.SHM:
        part = f"sysv-{one.vid}"
        return replace(state, part=part, runs=_save(pod, one, part))
    if one.kind == ipc.SEM:
        values, pids = ipc.values(pod.handle, one.vid, one.size)
        return replace(state, values=values, pids=pids, undos=ipc.undos(pod.handle, one.vid))
    return replace(state, messages=list(_messages(pod, one)))


def _save(pod: FrozenPod, one: ipc.Object, part: str) -> list[Run]:
    runs: list[Run] = []
    with (
        pod.image.part(part) as writer,
        ipc.segment(pod.handle, one.vid, one.size) as memory,
    ):
        for offset in range(0, one.size, _BITE):
            size = min(_BITE, one.size - offset)
            pages = ipc.resident(pod.handle, one.vid, offset, size)
            for at, end in _held(pages):
                start, stop = offset + at * _PAGE, min(offset + end * _PAGE, one.size)
                writer.write(memory[start:stop])
                runs.append(Run(start, stop - start))
    return runs


def _held(pages: bytes) -> Iterator[tuple[int, int]]:
    """From where to where pages hold something: their lowest bit is set."""
    start = None
    for i, page in enumerate(pages):
        if page & 1 and start is None:
            start = i
        elif not page & 1 and start is not None:
            yield start, i
            start = None
    if start is not None:
        yield start, len(pages)


def _messages(pod: FrozenPod, one: ipc.Object) -> Iterator[Message]:
    index = 0
    while True:
        try:
            found = ipc.message(pod.handle, one.vid, index, _MOST_TEXT)
        except OSError as error:
            raise UnsupportedResource(
                f'cannot checkpoint pod "{pod.name}": messages of System V queue {one.vid} cannot '
                "be read without taking them",
                needed="a kernel with CONFIG_CHECKPOINT_RESTORE (MSG_COPY of msgrcv)",
                found=error.strerror or str(error),
                do="checkpoint when the queue is empty, or on another kernel",
            ) from error
        if found is None:
            return
        yield Message(*found)
        index += 1


# -- restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _make, state, build)
    for state in states:
        for undo in state.undos:
            build.at(Stage.OWN, _undo, state, undo, build)
    for state in states:
        build.at(Stage.RESUME, ipc.settle, build.handle, state.of)


def _make(state: State, build: Build) -> None:
    one = state.of
    with restoring(NAME, Stage.SHARED, "a System V object"):
        ipc.make(build.handle, one)
        if one.kind == ipc.SHM:
            _load(state, build)
            _lock(state, build)
        elif one.kind == ipc.SEM:
            ipc.set_values(build.handle, one.vid, state.values, state.pids)
        for message in state.messages:
            ipc.send(build.handle, one.vid, message.type, message.text)


def _load(state: State, build: Build) -> None:
    with (
        open(build.image.path(state.part), "rb") as part,
        ipc.segment(build.handle, state.of.vid, state.of.size) as memory,
    ):
        for run in state.runs:
            wanted = build.needed(run.size)
            if part.readinto(memory[run.offset : run.offset + wanted]) != wanted:
                raise BadImage(f"bad image: part {state.part} is shorter than its runs")
            part.seek(run.size - wanted, 1)


def _lock(state: State, build: Build) -> None:
    """What is locked counts for its user, and the original's may do so still."""
    if not state.of.locked or build.rehearsal:
        return
    lock = functools.partial(ipc.lock, build.handle, state.of.vid)
    try:
        lock()
    except OSError:
        if not build.contended:
            raise
        build.at_thaw(lock)


def _undo(state: State, undo: ipc.Undo, build: Build) -> None:
    """The process makes an operation that is to be undone, and its opposite: both, or none."""
    value = state.values[undo.semaphore]
    there = struct.pack("<Hhh", undo.semaphore, -undo.by, _SEM_UNDO)
    back = struct.pack("<Hhh", undo.semaphore, undo.by, 0)
    operations = [there, back] if 0 <= value - undo.by <= _SEMVMX else [back, there]
    program = Program()
    rid = ipc.real(build.handle, ipc.SEM, state.of.vid)
    assert rid is not None, "it was made at SHARED"
    program.call("semop", rid, program.data(b"".join(operations)), 2)
    build.process(undo.process).run(program)
    ipc.note_undo(build.handle, state.of.vid, undo)

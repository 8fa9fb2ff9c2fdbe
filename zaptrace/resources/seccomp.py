"""seccomp filters that a program put on itself, and whether it may gain privileges by exec.

The kernel tells nobody the filters of a thread: the C half keeps each as it was given, and the store
carries it (csrc/pod/seccomp.h). They are put on again one by one, oldest first, behind the preamble
that lets our own calls through, when all else of a process is there; threads that had the same ones
together have so again, as far as all threads of their process did.
Not carried: SECCOMP_FILTER_FLAG_NEW_LISTENER, which answers EINVAL in a pod; and that some threads of
a process had the same filter while others had not: each has it as its own, so that a later
SECCOMP_FILTER_FLAG_TSYNC finds them different. no_new_privs is what
programs are told: the kernel has it set for all of a pod.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from ..errors import BadImage, RestoreError, UnsupportedResource, ZaptraceError
from ..linux.native import ffi, lib
from ..linux.program import Program
from ..linux.tracee import Thread
from ..shapes import NamesLiving, NamesThread, Range
from ..view.build import Build, BuildProcess, Stage
from ..view.frozen import FrozenPod
from ..view.store import of_room
from .room import Whole

NAME = "seccomp"

_SET_MODE_FILTER, _TSYNC = 1, 1
_KEPT_FLAGS = 2 | 4  # LOG, SPEC_ALLOW
_HEAD = struct.Struct("<iI")
"""Of what is kept of a filter: the number of the one below it, and its flags."""
_INSTRUCTION = 8
_MOST = 4096
_LAST = 1 << 30
"""Numbers of filters; there are more after it."""


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    vtid: NamesThread
    filter: Annotated[int, Range(0, (1 << 31) - 1)]
    """Its newest, by number; 0: none."""
    no_new_privs: bool


def is_note(key: bytes, value: bytes) -> bool:
    size = len(value) - _HEAD.size
    number = struct.unpack("<i", key)[0] if len(key) == 4 else 0
    return 0 < number <= _LAST and 0 < size <= _MOST * _INSTRUCTION and size % _INSTRUCTION == 0


def verify(states: list[State], whole: Whole) -> None:
    kept = of_room(whole.stored, NAME)
    for number in {state.filter for state in states}:
        _chain(kept, number)
    for state in states:
        whole.name("thread of process", (state.vpid, state.vtid))
    whole.refuse_twice("the filters of thread", [state.vtid for state in states])


def capture(pod: FrozenPod) -> list[State]:
    kept = pod.store(NAME)
    for process in pod.processes:
        for thread in process.threads:
            if _is_unknown(kept, thread.filter):
                raise UnsupportedResource(
                    f"cannot checkpoint process {process.vpid} ({process.comm}): "
                    "its seccomp filters are not known",
                    needed="the filters that it has from the process that made it",
                    found="that one was killed while it made it",
                    do="let the program end it and start it anew",
                )
    return [
        State(process.vpid, thread.vtid, thread.filter, thread.no_new_privs)
        for process in pod.processes
        for thread in process.threads
    ]


def _is_unknown(kept: dict[bytes, bytes], number: int) -> bool:
    while number > 0:
        number, _flags = _HEAD.unpack_from(kept[struct.pack("<i", number)])
    return number != 0


# -- restore


def restore(states: list[State], build: Build) -> None:
    kept = build.store(NAME)
    processes: dict[int, list[tuple[State, list[bytes]]]] = {}
    for state in states:
        processes.setdefault(state.vpid, []).append((state, _chain(kept, state.filter)))
    for vpid, threads in processes.items():
        build.at(Stage.RESUME, build.last.append, functools.partial(_put_on, build, vpid, threads))


def _chain(kept: dict[bytes, bytes], number: int) -> list[bytes]:
    """What is kept of a filter and of those below it, oldest first."""
    chain: list[bytes] = []
    while number:
        value = kept.get(struct.pack("<i", number), b"")
        size = len(value) - _HEAD.size
        if (
            size <= 0
            or size % _INSTRUCTION
            or size // _INSTRUCTION > _MOST
            or len(chain) > len(kept)
        ):
            raise BadImage(
                "bad image: it has a seccomp filter that cannot be one",
                needed=f"up to {_MOST} instructions of filter {number}, and no filter twice",
                found=f"{max(size, 0)} bytes",
            )
        chain.insert(0, value)
        number, _flags = _HEAD.unpack_from(value)
    return chain


def _put_on(build: Build, vpid: int, threads: Sequence[tuple[State, list[bytes]]]) -> None:
    process = build.process(vpid)
    chains = [chain for _state, chain in threads]
    common = 0
    while all(len(chain) > common and chain[common] is chains[0][common] for chain in chains):
        common += 1
    try:
        _run(_of(process, threads[0][0]), chains[0][:common], _TSYNC)
        for state, chain in threads:
            thread = _of(process, state)
            _run(thread, chain[common:], 0)
            lib.zt_pod_set_filter(build.handle, thread.rtid, state.filter, state.no_new_privs)
    except ZaptraceError as error:
        raise RestoreError(
            f"cannot restore process {vpid}: the host does not take its seccomp filters",
            stage=Stage.RESUME.name,
            resource=NAME,
            vpid=vpid,
            found=error.found,
        ) from error


def _of(process: BuildProcess, state: State) -> Thread:
    return process.threads[state.vtid]


def _run(thread: Thread, filters: Sequence[bytes], flags: int) -> None:
    if not filters:
        return
    program = Program()
    preamble = _preamble()
    rows = []
    for value in filters:
        _below, asked = _HEAD.unpack_from(value)
        code = preamble + value[_HEAD.size :]
        head = struct.pack("=HxxxxxxQ", len(code) // _INSTRUCTION, 0)
        fprog = program.pointer(head, {8: program.data(code)})
        rows.append(program.call("seccomp", _SET_MODE_FILTER, asked & _KEPT_FLAGS | flags, fprog))
    results = thread.run(program)
    if other := next(filter(None, (results[row] for row in rows)), 0):
        raise ZaptraceError("a filter is not for all threads", found=f"thread {other} has others")


def _preamble() -> bytes:
    code = ffi.new("char[]", 4096)
    return bytes(ffi.buffer(code, lib.zt_seccomp_preamble(code, len(code))))

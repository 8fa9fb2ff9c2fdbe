"""Descriptor tables: which number is which open file description, and close-on-exec.

The kernel shares one table among threads; a table shared between processes (CLONE_FILES without
CLONE_THREAD) is refused. A description that no room claims is refused by the checkpoint.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import UnsupportedResource
from ..linux.native import lib
from ..linux.program import Program
from ..view.build import CHANNEL, Build, Stage
from ..view.frozen import FrozenPod, FrozenProcess

NAME = "fdtable"

_BATCH = 200  # the kernel passes at most 253 at once (SCM_MAX_FD)
_KCMP_FILES = 2
_F_DUPFD_CLOEXEC = 1030


@dataclass(frozen=True)
class Entry:
    fd: int
    file_id: int
    cloexec: bool


@dataclass(frozen=True)
class State:
    vpid: int
    entries: list[Entry]


def capture(pod: FrozenPod) -> list[State]:
    _refuse_shared_tables(pod.processes)
    return [
        State(p.vpid, [Entry(fd.number, fd.file.id, fd.cloexec) for fd in p.fds.values()])
        for p in pod.processes
    ]


def _refuse_shared_tables(processes: list[FrozenProcess]) -> None:
    alike: dict[tuple[tuple[int, int], ...], FrozenProcess] = {}
    for process in processes:
        key = tuple((fd.number, fd.file.id) for fd in process.fds.values())
        other = alike.setdefault(key, process)
        if other is process:
            continue
        if lib.zt_kcmp(other.rpid, process.rpid, _KCMP_FILES, 0, 0) == 0:
            raise UnsupportedResource(
                f"cannot checkpoint processes {other.vpid} and {process.vpid}: "
                "they share one descriptor table",
                needed="a descriptor table for each process",
                found="clone with CLONE_FILES but without CLONE_THREAD",
            )


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.FILES, _hand_over, state, build)


def _hand_over(state: State, build: Build) -> None:
    """Descriptors come by SCM_RIGHTS, are moved out of the way, and then to their numbers."""
    process = build.process(state.vpid)
    entries = state.entries
    high = max([entry.fd for entry in entries] + [_BATCH + 1]) + 1
    for first in range(0, len(entries), _BATCH):
        batch = entries[first : first + _BATCH]
        received = build.pass_files(process, [build.file(entry.file_id) for entry in batch])
        program = Program()
        for i, fd in enumerate(received):
            program.call("fcntl", fd, _F_DUPFD_CLOEXEC, high + first + i)
            program.call("close", fd)
        process.run(program)
    program = Program()
    program.call("close", CHANNEL)
    for i, entry in enumerate(entries):
        program.call("dup3", high + i, entry.fd, os.O_CLOEXEC if entry.cloexec else 0)
        program.call("close", high + i)
    process.run(program)

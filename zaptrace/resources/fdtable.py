"""Descriptor tables: which number is which open file description, and close-on-exec.

The kernel shares one table among threads, and among processes that clone(2) made so. A description
that no room claims is refused by the checkpoint.
"""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import RestoreError
from ..linux.program import Program
from ..shapes import Fd, NamesFile, NamesLiving
from ..view.build import CHANNEL, Build, Stage
from ..view.frozen import FrozenPod
from .room import Whole

NAME = "fdtable"

_BATCH = 200  # the kernel passes at most 253 at once (SCM_MAX_FD)


@dataclass(frozen=True)
class Entry:
    fd: Fd
    file_id: NamesFile
    cloexec: bool


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    entries: list[Entry]


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("the descriptor table of process", [state.vpid for state in states])
    for state in states:
        whole.refuse_twice(
            f"process {state.vpid}: descriptor", [entry.fd for entry in state.entries]
        )


def capture(pod: FrozenPod) -> list[State]:
    """Of the first process that has it, for each table; the others are made with it (process room)."""
    tables = {process.leader.files: process for process in reversed(pod.processes)}
    return [
        State(p.vpid, [Entry(fd.number, fd.file.id, fd.cloexec) for fd in p.fds.values()])
        for p in pod.processes
        if tables[p.leader.files] is p
    ]


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.CLAIM, _claim, state)
        build.at(Stage.FILES, _hand_over, state, build)


def _claim(state: State) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max((entry.fd for entry in state.entries), default=0)
    if highest >= hard:
        raise RestoreError(
            f"cannot restore process {state.vpid}: its descriptor {highest} is beyond the limit",
            stage="CLAIM",
            resource=NAME,
            vpid=state.vpid,
            needed=f"a hard limit on open files of at least {highest + 1}",
            found=str(hard),
            do="raise it (ulimit -Hn)",
            changed="nothing",
        )


def _hand_over(state: State, build: Build) -> None:
    """Descriptors come by SCM_RIGHTS, which gives them the lowest free numbers, in order.

    The highest go first, each piece in ascending order: then none ever lands above its own number,
    and moved up from the last to the first none meets another. So no number is needed beyond those
    of the table; that of the channel, 0, is taken by the very last to come.
    """
    process = build.process(state.vpid)
    for batch in _batches(state.entries):
        received = build.pass_files(process, build.files([entry.file_id for entry in batch]))
        process.run(_placing(received, batch))
    if all(entry.fd != CHANNEL for entry in state.entries):
        program = Program()
        program.call("close", CHANNEL)
        process.run(program)


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    ordered = sorted(entries, key=lambda entry: entry.fd)
    last = [ordered.pop(0)] if ordered and ordered[0].fd == CHANNEL else []
    while len(ordered) + len(last) > _BATCH:
        yield ordered[-_BATCH:]
        del ordered[-_BATCH:]
    if ordered or last:
        yield ordered + last


def _placing(received: list[int], batch: list[Entry]) -> Program:
    program = Program()
    for fd, entry in reversed(list(zip(received, batch, strict=True))):
        if fd != entry.fd:
            program.call("dup3", fd, entry.fd, os.O_CLOEXEC if entry.cloexec else 0)
            program.call("close", fd)
        elif entry.cloexec:
            program.call("fcntl", fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return program

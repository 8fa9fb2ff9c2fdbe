"""The processes of a pod, as they are shown to people."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from ..ids import SUPERVISOR, Rpid, Vpid
from ..linux import procfs
from ..linux.native import Handle, lib
from ..linux.tracee import tasks

_FLAGS = 6  # of stat_fields: field 9 of proc(5)
_PF_EXITING = 0x4


@dataclass(frozen=True)
class ProcessInfo:
    """One process as the pod and the host number it; `state` is the letter of proc(5), or "frozen"."""

    vpid: Vpid
    rpid: Rpid
    ppid: Vpid
    comm: str
    state: str
    threads: int


@dataclass(frozen=True)
class Known:
    """What the tracer knows of a process."""

    vpid: Vpid
    rpid: Rpid
    threads: int


def known(pod: Handle) -> list[Known]:
    """Of every process of a pod, oldest first. On the tracer's thread."""
    counts: dict[Rpid, int] = {}
    for task in tasks(pod):
        counts[task.rpid] = counts.get(task.rpid, 0) + 1
    return [Known(Vpid(lib.zt_ids_to_virtual(pod, r)), r, n) for r, n in counts.items()]


def rpids_of(pod: Handle) -> dict[Vpid, Rpid]:
    """The processes by the pod's numbers, oldest first. On the tracer's thread."""
    return {task.vpid: task.rpid for task in tasks(pod)}


def info(one: Known, all_of_them: list[Known], frozen: bool) -> ProcessInfo | None:
    """As it is now; None when it is gone. From any thread."""
    try:
        status = procfs.status(one.rpid)
    except OSError:
        return None
    parent = int(status["PPid"])
    ppid = next((other.vpid for other in all_of_them if other.rpid == parent), SUPERVISOR)
    state = status["State"][0]
    if frozen and state not in "ZX":
        state = "frozen"
    return ProcessInfo(one.vpid, one.rpid, Vpid(ppid), status["Name"], state, one.threads)


def is_ending(rpid: int) -> bool:
    """Have all its threads ended, or nothing but that to come: SIGKILL is pending, or at work?"""
    try:
        return all(_ends(f"/proc/{rpid}/task/{tid}") for tid in os.listdir(f"/proc/{rpid}/task"))
    except OSError:
        return True


def _ends(thread: str) -> bool:
    fields = procfs.stat_fields(f"{thread}/stat")
    if fields[0] in "ZX" or int(fields[_FLAGS]) & _PF_EXITING:
        return True
    lines = procfs.read(f"{thread}/status").splitlines()
    masks = [int(line[7:], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(mask >> (signal.SIGKILL - 1) & 1 for mask in masks)

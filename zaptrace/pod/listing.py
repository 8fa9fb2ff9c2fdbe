"""The processes of a pod, as they are shown to people."""

from __future__ import annotations

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
    """Has it ended, or nothing but its end to come: SIGKILL is pending, or the kernel is at it?"""
    try:
        status = procfs.status(rpid)
        flags = int(procfs.stat_fields(f"/proc/{rpid}/stat")[_FLAGS])
    except OSError:
        return True
    pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
    killed = bool(pending >> (signal.SIGKILL - 1) & 1)
    return killed or bool(flags & _PF_EXITING) or status["State"][0] in "ZX"

"""The processes of a pod, to be shown or signalled. On the tracer's thread."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..ids import SUPERVISOR, Rpid, Vpid
from ..linux import procfs
from ..linux.native import Handle, lib
from ..linux.tracee import tasks


@dataclass(frozen=True)
class ProcessInfo:
    """One process as the pod and the host number it; `state` is the letter of proc(5), or "frozen"."""

    vpid: Vpid
    rpid: Rpid
    ppid: Vpid
    comm: str
    state: str
    threads: int


def processes(pod: Handle, *, frozen: bool) -> list[ProcessInfo]:
    """Every process, oldest first."""
    threads = Counter(task.rpid for task in tasks(pod))
    return [info for rpid, count in threads.items() if (info := _info(pod, rpid, count, frozen))]


def rpids(pod: Handle) -> dict[Vpid, Rpid]:
    """The processes by the pod's numbers, oldest first."""
    return {task.vpid: task.rpid for task in tasks(pod)}


def _info(pod: Handle, rpid: Rpid, threads: int, frozen: bool) -> ProcessInfo | None:
    try:
        status = procfs.status(rpid)
    except OSError:
        return None
    ppid = lib.zt_ids_to_virtual(pod, int(status["PPid"])) or SUPERVISOR
    vpid = lib.zt_ids_to_virtual(pod, rpid)
    state = status["State"][0]
    if frozen and state != "Z":
        state = "frozen"
    return ProcessInfo(Vpid(vpid), rpid, Vpid(ppid), status["Name"], state, threads)

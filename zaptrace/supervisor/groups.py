"""A signal to a process group of a pod, as a terminal would send it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ..errors import ZaptraceError

if TYPE_CHECKING:
    from ..pod.pod import Pod


def signal_group(pod: Pod, number: int, vpid: int | None) -> None:
    """To the group of process `vpid`, or of the root process; those that have ended do not count."""
    members = [p for p in pod.processes() if p.state != "Z"]
    first = next((p for p in members if vpid in (None, p.vpid)), None)
    group = _group_of(first.rpid) if first else None
    for process in members if first else ():
        if process is first or _group_of(process.rpid) == group:
            with contextlib.suppress(ZaptraceError, ProcessLookupError):
                pod.signal(number, process.vpid)


def _group_of(rpid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(rpid)
    return None

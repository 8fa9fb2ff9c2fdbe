"""The same names as in zaptrace, for asyncio: what waits is awaited.

    from zaptrace import aio

    pod = await aio.launch(["./train"], name="train")
    async for piece in pod.follow(): ...
    outcome = await asyncio.wait_for(pod.wait(), 60)

A call that is cancelled is given up as by ctrl-c, and it has ended when the cancellation arrives: a
checkpoint leaves the pod running, a pod that was being made is not made. Where it was too late for
that, what was asked for has been done. Each call has a thread as long as it lasts, and none longer.
"""

from __future__ import annotations

from ..api.results import (
    Check,
    Executed,
    ImageInfo,
    MigrationReport,
    Outcome,
    Process,
    Progress,
    Report,
)
from ..errors import ZaptraceError
from .pod import Pod
from .verbs import check, connect, current, launch, pods, restore, show

__all__ = [
    "Check",
    "Executed",
    "ImageInfo",
    "MigrationReport",
    "Outcome",
    "Pod",
    "Process",
    "Progress",
    "Report",
    "ZaptraceError",
    "check",
    "connect",
    "current",
    "launch",
    "pods",
    "restore",
    "show",
]

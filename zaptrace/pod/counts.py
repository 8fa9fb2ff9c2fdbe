"""What being traced costs a pod: how often its threads stopped for the tracer, by why and at which calls.

Counted since the pod was started, or restored, here: a stop costs some ten microseconds, wherever it
comes from, so what is often here is what a program waits for.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..linux.native import ffi, lib

if TYPE_CHECKING:
    from .pod import Pod

UNKNOWN = "other calls"
"""Calls that have no row in the table, together: they answer ENOSYS."""


@dataclass(frozen=True)
class CallCount:
    """Stops at one system call: on the way in, on the way out; of those on the way in, how many were
    answered without the kernel."""

    name: str
    entered: int
    left: int
    answered: int


@dataclass(frozen=True)
class Refusal:
    """A call that was answered an errno on purpose: which, how often, and to whom at last."""

    errno: str
    name: str
    times: int
    who: str


@dataclass(frozen=True)
class Counts:
    """`stops` by their reason; `calls` where there were any, the most frequent first."""

    stops: dict[str, int]
    calls: list[CallCount]


def kinds() -> dict[str, int]:
    return {
        "call entry": lib.ZT_COUNT_ENTRY,
        "call exit": lib.ZT_COUNT_CALL,
        "signal": lib.ZT_COUNT_SIGNAL,
        "birth": lib.ZT_COUNT_BIRTH,
        "exec": lib.ZT_COUNT_EXEC,
        "rest": lib.ZT_COUNT_REST,
        "end": lib.ZT_COUNT_END,
        "other": lib.ZT_COUNT_OTHER,
        "looked at": lib.ZT_COUNT_LOOKED,
    }


def counts(pod: Pod) -> Counts:
    """On the tracer's thread."""
    handle, told = pod.handle, ffi.new("zt_call_stops *")
    calls = []
    for nr in range(lib.zt_call_count() + 1):
        lib.zt_pod_call_stops(handle, nr, told)
        if told.entered or told.left:
            name = ffi.string(raw).decode() if (raw := lib.zt_call_name(nr)) else UNKNOWN
            calls.append(CallCount(name, told.entered, told.left, told.answered))
    calls.sort(key=lambda call: (-call.entered - call.left, call.name))
    return Counts({name: lib.zt_pod_stops(handle, kind) for name, kind in kinds().items()}, calls)


def refusals(pod: Pod) -> list[Refusal]:
    """On the tracer's thread: what programs asked for in vain, because a pod has none of it."""
    told, found = ffi.new("zt_call_stops *"), []
    for nr in range(lib.zt_call_count()):
        lib.zt_pod_call_stops(pod.handle, nr, told)
        if told.refused:
            name = ffi.string(lib.zt_call_name(nr)).decode()
            who = ffi.string(told.who).decode(errors="replace")
            word = errno.errorcode.get(lib.zt_call_refusal(nr), "an error")
            found.append(Refusal(word, name, told.refused, who))
    return found

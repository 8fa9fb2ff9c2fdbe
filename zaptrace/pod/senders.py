"""Senders of messages, in a pod that moved.

Calls that tell senders stop only where somebody has asked for them (SO_PASSCRED). The processes of a
pod that was restored with such sockets do from their birth; in others, a filter is put on top of what
they have, when one first asks.
"""

from __future__ import annotations

from ..errors import ZaptraceError
from ..linux.besides import put_on
from ..linux.native import Handle, check, lib, new_error
from ..log import log

_PATIENCE_MS = 2000


def show_senders(pod: Handle) -> None:
    """Somebody has asked, and waits for it: in a pod that is running, and stands still for it."""
    try:
        check(lib.zt_loop_freeze(pod, _PATIENCE_MS, err := new_error()), err)
    except ZaptraceError as error:  # it is running again: let who has asked go on, too
        log.warning("processes that are there see senders of messages as this host does: %s", error)
        lib.zt_pod_show_senders(pod)
        return
    try:
        put_on(pod, kept=False)
        lib.zt_pod_show_senders(pod)
    finally:
        check(lib.zt_loop_thaw(pod, err := new_error()), err)

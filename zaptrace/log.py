"""Logging, and the named fault points that tests use to break things on purpose."""

from __future__ import annotations

import logging
import os
import signal
import time

from .errors import ZaptraceError

log = logging.getLogger("zaptrace")

_STALL_S = 3600.0


def fault(name: str) -> None:
    """A named fault point; does nothing unless `ZAPTRACE_FAULT=name[:action]` names it.

    action is `kill` (SIGKILL to ourselves, the default), `raise` or `stall` (sleep an hour).
    """
    wanted, _, action = os.environ.get("ZAPTRACE_FAULT", "").partition(":")
    if wanted != name:
        return
    if action == "raise":
        raise ZaptraceError(f"fault point {name}", needed="no fault", found="ZAPTRACE_FAULT set")
    if action == "stall":
        time.sleep(_STALL_S)
        return
    os.kill(os.getpid(), signal.SIGKILL)

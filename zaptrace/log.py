"""Logging, reports of faults of ours, and the fault points that tests use to break things."""

from __future__ import annotations

import logging
import os
import signal
import time
import traceback

from .errors import InternalError, ZaptraceError
from .text import shown_lines

log = logging.getLogger("zaptrace")


class _Shown(logging.Filter):
    """What is logged is fit to print, whoever's names are in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = shown_lines(record.getMessage()), ()
        return True


log.addFilter(_Shown())
log.addHandler(logging.NullHandler())  # else what nobody asked to see goes to stderr

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


def unforeseen(doing: str, error: BaseException, changed: str | None = None) -> InternalError:
    """An exception that is a fault of ours, as an error to show: nobody is shown a traceback.

    `doing` is what we could not do, as a verb: "checkpoint the pod". The traceback goes into a file
    of its own, which is still there when a pod's log is not.
    """
    found = " ".join(f"{type(error).__name__}: {error}".split())
    report = _write_report(doing, error)
    where = f"see {report}" if report else "".join(traceback.format_exception(error))
    log.error("cannot %s: a fault in zaptrace itself (%s); %s", doing, found, where)
    return InternalError(
        f"cannot {doing}: a fault in zaptrace itself ({found})",
        do=f"report it, with {report}" if report else "report it",
        changed=changed,
        report=report,
    )


def _write_report(doing: str, error: BaseException) -> str | None:
    import tempfile  # as rare as faults of ours

    try:
        fd, path = tempfile.mkstemp(prefix="zaptrace-fault-", suffix=".txt", text=True)
        with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"cannot {doing}\n\n{''.join(traceback.format_exception(error))}")
    except OSError:  # no place for it; then it goes to the log
        return None
    return path

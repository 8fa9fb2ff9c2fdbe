"""Logging, reports of faults of ours, and the fault points that tests use to break things.

What we log goes to the places that we gave it (`Log.to`), and to the logger "zaptrace" of `logging`
when the program that uses us has loaded that. We do not: it takes as long to load as Python to start,
and a pod that comes to no harm has nothing to log.
"""

from __future__ import annotations

import os
import sys
import time

from .errors import InternalError, ZaptraceError
from .text import shown_lines

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
"""As `logging` numbers them."""


class Log:
    """Takes a text and its arguments, as `logging.Logger` does; what is told is fit to print."""

    def __init__(self) -> None:
        self._places: list[tuple[int, Callable[[str, str], object]]] = []
        self.wanted: tuple[str | None, str | None] = None, None
        """A file for the log of supervisors that we start, and how much; they are told with their job."""

    def to(self, place: Callable[[str, str], object], least: str = "INFO") -> None:
        """From now on `place(level, text)` is told, of this level and above."""
        self._places.append((LEVELS.get(least.upper(), LEVELS["INFO"]), place))

    def info(self, text: str, *values: object) -> None:
        """What went as it should."""
        self._tell("INFO", text, values)

    def warning(self, text: str, *values: object) -> None:
        """What a user may want to know."""
        self._tell("WARNING", text, values)

    def error(self, text: str, *values: object) -> None:
        """What failed."""
        self._tell("ERROR", text, values)

    def exception(self, text: str, *values: object) -> None:
        """What failed unforeseen, with the traceback of the exception that is being handled."""
        import traceback  # as rare as faults of ours

        self._tell("ERROR", f"{text}\n%s", (*values, traceback.format_exc()))

    def _tell(self, level: str, text: str, values: tuple[object, ...]) -> None:
        text, number = shown_lines(text % values if values else text), LEVELS[level]
        for least, place in self._places:
            if number >= least:
                place(level, text)
        if "logging" in sys.modules:
            import logging  # which another thread may be loading just now: this waits for it

            logger = logging.getLogger("zaptrace")
            if not logger.handlers:  # else what nobody asked to see goes to stderr
                logger.addHandler(logging.NullHandler())
            logger.log(number, "%s", text)


log = Log()

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
    import signal  # for tests alone

    os.kill(os.getpid(), signal.SIGKILL)


def unforeseen(doing: str, error: BaseException, changed: str | None = None) -> InternalError:
    """An exception that is a fault of ours, as an error to show: nobody is shown a traceback.

    `doing` is what we could not do, as a verb: "checkpoint the pod". The traceback goes into a file
    of its own, which is still there when a pod's log is not.
    """
    import traceback  # as rare as faults of ours

    found = " ".join(f"{type(error).__name__}: {error}".split())
    trace = "".join(traceback.format_exception(error))
    report = _write_report(doing, trace)
    where = f"see {report}" if report else trace
    log.error("cannot %s: a fault in zaptrace itself (%s); %s", doing, found, where)
    return InternalError(
        f"cannot {doing}: a fault in zaptrace itself ({found})",
        do=f"report it, with {report}" if report else "report it",
        changed=changed,
        report=report,
    )


def _write_report(doing: str, trace: str) -> str | None:
    import tempfile

    try:
        fd, path = tempfile.mkstemp(prefix="zaptrace-fault-", suffix=".txt", text=True)
        with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"cannot {doing}\n\n{trace}")
    except OSError:  # no place for it; then it goes to the log
        return None
    return path

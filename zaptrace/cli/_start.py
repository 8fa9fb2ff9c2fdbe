"""What run and restore have in common: choose the stdio, start, stay in the foreground or not.

Knows no click, for `run` is quick without (see _quick.py).
"""

from __future__ import annotations

import os
import signal
import sys

from ..errors import Cancelled, PodError, ZaptraceError
from ..record import Record
from ..supervisor import runtime
from ..supervisor.control import SAVED
from ..supervisor.starter import Job, fill_standard_fds, start
from ._foreground import Signals, stay
from ._tell import print_json, say

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..supervisor.starter import Started
    from ._detach_keys import DetachKeys

HISTORY = 500
LEVELS = {"host": 0, "x86-64-v2": 2, "x86-64-v3": 3, "x86-64-v4": 4}
"""What a pod sees of the processor: all, or the N of a level."""


def launch(
    name: str | None,
    detach: bool,
    cwd: str | None,
    env: Sequence[str],
    as_json: bool,
    command_line: Sequence[str],
    cpu_level: str,
    tty: bool = False,
    interactive: bool = False,
    detach_keys: DetachKeys | None = None,
    hup: bool = False,
    log_size: int | None = None,
    **of_a_job: Any,
) -> int:
    """zaptrace run, its options read; returns the exit status for our caller.

    `interactive` is what every pod is that does not run in the background.
    """
    job = Job(
        "launch",
        runtime.place(),
        name,
        argv=list(command_line),
        cwd=os.path.abspath(cwd or os.getcwd()),
        env={**os.environ, **dict(one.split("=", 1) for one in env)},
        cpu_level=LEVELS[cpu_level],
        log_size=log_size,
        **of_a_job,
    )
    joining = Joining(detach_keys, hup)
    return bring_up(job, detach, print_json if as_json else None, joining, tty)


class Joining(Record):
    """How our terminal is joined to that of a pod which we start."""

    keys: DetachKeys | None = None
    """Those that detach, if not the usual ones."""
    hup: bool = False
    """A hang-up is for the pod, too."""
    history: int = HISTORY
    """Lines that scrolled away which a restored pod's screen is shown with."""


_FORGO = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
"""Who sends these while the pod is being made does not want it; they are for the pod once it is whole."""


def bring_up(
    job: Job,
    detach: bool,
    print_json: Callable[[object], None] | None,
    joining: Joining,
    tty: bool = False,
) -> int:
    """Start the supervisor for `job`; returns the exit status for our caller.

    With `tty` it gets a terminal whatever we have; `joining` is how we are joined to that.
    """
    fill_standard_fds()
    try:
        if job.name is not None:
            runtime.check_name(job.name)
        if detach:
            return _in_background(job, print_json, tty)
        if tty and not on_terminal():
            raise no_terminal("run it in a terminal", "leave -t away, or leave it to itself: -d -t")
        return _in_foreground(job, joining, tty)
    except ZaptraceError as e:
        if not hasattr(e, "exit_status"):
            e.exit_status = 125
        raise


def _in_background(job: Job, print_json: Callable[[object], None] | None, tty: bool) -> int:
    job.stdio = "tty" if tty else "log"
    if tty and sys.stdin and sys.stdin.isatty():
        _like_ours(job)
    with start(job, forked=True) as started:
        if print_json:
            told = {"name": started.name, "instance": started.instance, "supervisor": started.pid}
            print_json({**told, "notes": started.notes})
        else:
            print(started.name)
            _tell_notes(started)
    return 0


def _like_ours(job: Job) -> None:
    import termios

    from ..supervisor.terminal import get_size

    job.rows, job.cols = get_size(sys.stdin.fileno())
    job.termios = termios.tcgetattr(sys.stdin.fileno())


def _in_foreground(job: Job, joining: Joining, tty: bool) -> int:
    job.foreground = True
    if on_terminal():
        if job.verb == "launch" and not tty and _is_background_job():
            _read_nothing()
        else:
            job.stdio = "tty"
            _like_ours(job)
    sys.stdout.flush()
    with Signals() as signals:
        wanted_away = _FORGO.union(job.on)
        given_up = lambda: not wanted_away.isdisjoint(signals.caught)  # noqa: E731
        try:
            started = start(job, forked=True, gives_up=given_up)
        except Cancelled as e:
            if not set(job.on).isdisjoint(signals.caught):  # no more is lost than was not begun
                e.exit_status = SAVED
            raise
        with started:
            _tell_notes(started)
            if started.stdio != "tty":
                return stay(started, signals)
            from ._attached import How, follow

            # Nothing was lost of a pod that begins: what it asks its terminal is for ours to answer.
            how = How(
                owner=True,
                redraw=job.verb == "restore",
                history=joining.history,
                hup=joining.hup,
            )
            how.keys = joining.keys or how.keys
            with started.connect() as client:
                return follow(client, signals, how)


def _is_background_job() -> bool:
    """Did a shell start us with an `&`? Then whoever sets up its terminal is stopped."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) != os.getpgrp()
    except OSError:  # it is nobody's, or that of another session
        return False


def _read_nothing() -> None:
    """What is typed is for the shell. One without job control does so to whatever has an `&`."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, sys.stdin.fileno())
    os.close(null)


def no_terminal(what: str, do: str) -> ZaptraceError:
    """There is none to join to a pod's."""
    return PodError(
        f"cannot {what}: this is no terminal",
        needed="a terminal as stdin and as stdout",
        found=" and ".join(
            f"{name} is {'one' if stream and stream.isatty() else 'none'}"
            for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout))
        ),
        do=do,
        changed="nothing",
    )


def _tell_notes(started: Started) -> None:
    for note in started.notes:
        say(note)


def on_terminal() -> bool:
    """True when both our stdin and stdout are a terminal."""
    return bool(sys.stdin and sys.stdout and sys.stdin.isatty() and sys.stdout.isatty())

"""What run and restore have in common: choose the stdio, start, stay in the foreground or not.

Knows no click, for `run` is quick without (see _quick.py).
"""

from __future__ import annotations

import os
import signal
import sys

from ..errors import Cancelled, ZaptraceError
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
    **of_a_job: Any,
) -> int:
    """zaptrace run, its options read; returns the exit status for our caller."""
    job = Job(
        "launch",
        runtime.place(),
        name,
        argv=list(command_line),
        cwd=os.path.abspath(cwd or os.getcwd()),
        env={**os.environ, **dict(one.split("=", 1) for one in env)},
        cpu_level=LEVELS[cpu_level],
        **of_a_job,
    )
    return bring_up(job, detach, print_json if as_json else None)


_FORGO = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
"""Who sends these while the pod is being made does not want it; they are for the pod once it is whole."""


def bring_up(job: Job, detach: bool, print_json: Callable[[object], None] | None) -> int:
    """Start the supervisor for `job`; returns the exit status for our caller."""
    fill_standard_fds()
    try:
        if job.name is not None:
            runtime.check_name(job.name)
        if detach:
            return _in_background(job, print_json)
        return _in_foreground(job)
    except ZaptraceError as e:
        if not hasattr(e, "exit_status"):
            e.exit_status = 125
        raise


def _in_background(job: Job, print_json: Callable[[object], None] | None) -> int:
    job.stdio = "log"
    with start(job, forked=True) as started:
        if print_json:
            told = {"name": started.name, "instance": started.instance, "supervisor": started.pid}
            print_json({**told, "notes": started.notes})
        else:
            print(started.name)
            _tell_notes(started)
    return 0


def _in_foreground(job: Job) -> int:
    job.foreground = True
    if _on_terminal():
        import termios

        from ..supervisor.terminal import get_size

        job.stdio = "tty"
        job.rows, job.cols = get_size(sys.stdin.fileno())
        job.termios = termios.tcgetattr(sys.stdin.fileno())
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
            from ..supervisor.ring import SCROLLBACK
            from ._attached import follow

            with started.connect() as client:
                return follow(client, signals, owner=True, tail=2 * SCROLLBACK)


def _tell_notes(started: Started) -> None:
    for note in started.notes:
        say(note)


def _on_terminal() -> bool:
    """True when both our stdin and stdout are a terminal."""
    return bool(sys.stdin and sys.stdout and sys.stdin.isatty() and sys.stdout.isatty())

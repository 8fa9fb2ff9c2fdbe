"""What run and restore have in common: choose the stdio, start, stay in the foreground or not."""

from __future__ import annotations

import signal
import sys
import termios
from collections.abc import Callable

import click

from ..errors import ZaptraceError
from ..supervisor import runtime
from ..supervisor.starter import Job, fill_standard_fds, start
from ..supervisor.terminal import SCROLLBACK, get_size
from ._foreground import Signals, follow, on_terminal

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
    with start(job) as started:
        if print_json:
            print_json(
                {"name": started.name, "instance": started.instance, "supervisor": started.pid}
            )
        else:
            click.echo(started.name)
    return 0


def _in_foreground(job: Job) -> int:
    job.foreground = True
    if on_terminal():
        job.stdio = "tty"
        job.rows, job.cols = get_size(sys.stdin.fileno())
        job.termios = termios.tcgetattr(sys.stdin.fileno())
    sys.stdout.flush()
    with Signals() as signals:
        started = start(job, gives_up=lambda: not _FORGO.isdisjoint(signals.caught))
        with started, started.connect() as client:
            terminal = client.call("status")["meta"].get("stdio") == "tty"
            return follow(client, signals, terminal=terminal, owner=True, tail=2 * SCROLLBACK)

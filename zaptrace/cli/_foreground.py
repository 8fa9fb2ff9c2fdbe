"""The client's half of a pod in the foreground that has our stdio: signals, and the exit status.

It shares our stdio but not our session, so what our terminal tells us is passed on:

    SIGINT SIGQUIT    to the process group of the pod's root process, as a terminal does it
    SIGTERM SIGHUP    to the root process
    SIGTSTP           SIGSTOP to that group, then we stop too; SIGCONT wakes both
    SIGWINCH          to that group
    USR1 ALRM ...     to the root process: all that may be meant for a program, and would end us

What a job is to be saved at (zaptrace run --on) goes to its supervisor instead, and not into the pod.
Signals that were ignored when we started (nohup, background jobs) stay ignored; so do SIGPIPE and
SIGXFSZ. Faults of our own (SIGSEGV ...) stay ours.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections import deque

from ..errors import PodError, WireTimeout
from ..supervisor.control import Outcome
from ..supervisor.own_process import OTHERS
from ._tell import exit_status, explain, say

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..supervisor.control import Client
    from ..supervisor.starter import Started

TO_GROUP = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)
TO_ROOT = (signal.SIGTERM, signal.SIGHUP, *OTHERS)
_WATCHED = (*TO_GROUP, *TO_ROOT, signal.SIGTSTP)


class Signals:
    """Collects signals while it is open; `fd` becomes readable when there is one."""

    def __init__(self, numbers: tuple[int, ...] = _WATCHED) -> None:
        self._numbers = numbers
        self.caught: deque[int] = deque()

    def __enter__(self) -> Signals:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        self._before = {
            number: signal.signal(number, lambda n, _: self.caught.append(n))
            for number in self._numbers
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.fd)
        os.close(self._write)

    def take(self) -> Iterator[int]:
        """The signals since the last time."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 512)
        while self.caught:
            yield self.caught.popleft()


def _wait(started: Started, signals: Signals) -> Outcome:
    """Wait for the end of a pod that has our stdio; pass our signals on to it.

    A client, and ZeroMQ with it, is only for those who get a signal: the lifeline tells the end.
    """
    poller = select.poll()
    poller.register(started.lifeline, select.POLLIN)
    poller.register(signals.fd, select.POLLIN)
    with contextlib.ExitStack() as clients:
        client: Client | None = None
        while True:
            ready = {fd for fd, _ in poller.poll()}
            for number in signals.take():
                client = client or clients.enter_context(started.connect())
                pass_on(client, number)
            if started.lifeline.fileno() in ready:
                told = started.hear()
                if isinstance(told, Outcome):
                    return told
                if told is not None:
                    say(told)
                    continue
                return (client or clients.enter_context(started.connect())).last_words()


def pass_on(client: Client, number: int, vpid: int | None = None) -> None:
    """Have a signal that we got sent into the pod, to its root process or to that one."""
    to: dict[str, Any] = {} if vpid is None else {"vpid": vpid}
    with contextlib.suppress(PodError, WireTimeout):  # if it ended just now, the next turn sees it
        if number == signal.SIGTSTP:
            client.call("signal", signal=int(signal.SIGSTOP), group=True, **to)
            os.kill(os.getpid(), signal.SIGSTOP)
            # We are continued by now.
            client.post("signal", signal=int(signal.SIGCONT), group=True, **to)
        else:
            group = number in TO_GROUP
            client.post("signal", signal=int(number), group=group, heard=not to, **to)


def stay(started: Started, signals: Signals) -> int:
    """Stay with a pod that has our stdio until it ends; the exit status for our caller."""
    outcome = _wait(started, signals)
    explain(started.name, outcome)
    return exit_status(outcome)

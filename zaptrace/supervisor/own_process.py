"""What a supervisor does to its own process: its log, its descriptors, its signals."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from ..linux import private
from ..log import log

_LOG_MOST = 1 << 20
_ABANDON_S = 5.0
"""How long a pod that is being made may take to be removed again."""


class AskedToEnd(BaseException):
    """By a signal, before the pod was whole."""


def log_to(path: Path) -> None:
    """Have our log there."""
    os.close(private.open_file(path, os.O_WRONLY | os.O_APPEND))
    handler = RotatingFileHandler(path, maxBytes=_LOG_MOST, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(os.environ.get("ZAPTRACE_LOG", "INFO").upper())


def to_background(errors: Path) -> None:
    """Let go of what was given to us; what we say goes to `errors`."""
    # The pod has its stdio; were we to keep a copy, readers of its output would see no EOF.
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    ours = private.open_file(errors, os.O_WRONLY | os.O_APPEND)
    os.dup2(nothing, 0)
    os.dup2(ours, 1)
    os.dup2(ours, 2)
    for fd in (nothing, ours):
        if fd > 2:
            os.close(fd)


@contextlib.contextmanager
def ended_by(numbers: Iterable[int]) -> Iterator[None]:
    """A pod that is being made is abandoned when we are asked to end: what was made is removed.

    If that takes too long we are gone all the same, and the kernel removes the pod.
    """

    def end(*_: object) -> None:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
        signal.setitimer(signal.ITIMER_REAL, _ABANDON_S)
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise AskedToEnd

    before = {n: signal.getsignal(n) for n in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, end)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def umask(value: int) -> Iterator[None]:
    """Files are made with this one meanwhile."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def default_sigpipe() -> Iterator[None]:
    # Python ignores these two from its start on, and an exec would pass that on to the pod.
    before = {n: signal.signal(n, signal.SIG_DFL) for n in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

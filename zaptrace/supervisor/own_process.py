"""What a supervisor does to its own process: its log, its descriptors."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from ..linux import private
from ..log import log

_LOG_MOST = 1 << 20


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
def umask(value: int) -> Iterator[None]:
    """Files are made with this one meanwhile, by all our threads: what is ours alone says so."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)

"""What a supervisor does to its own process: its log, its descriptors."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ..log import log


def log_to(path: Path) -> None:
    """Have our log there."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(os.environ.get("ZAPTRACE_LOG", "INFO").upper())


def to_background(errors: Path) -> None:
    """Let go of what was given to us; what we say goes to `errors`."""
    # The pod has its stdio; were we to keep a copy, readers of its output would see no EOF.
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    ours = os.open(errors, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(nothing, 0)
    os.dup2(ours, 1)
    os.dup2(ours, 2)
    for fd in (nothing, ours):
        if fd > 2:
            os.close(fd)

"""What restore fills: see Stage and Build."""

from __future__ import annotations

import enum


class Stage(enum.IntEnum):
    """Barriers of a restore; every process passes one before any goes on to the next."""

    CLAIM = 0
    SHARED = 1
    FORK = 2
    MEMORY = 3
    FILES = 4
    THREADS = 5
    RESUME = 6

"""Supervisors for the pods that arrive at a host server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from ..log import log
from .starter import Held, Waiting, spawn_restored

_REFILL_S = 0.5


class Spawner:
    """spawn_restored with a supervisor kept waiting: its start is not part of a pod's downtime.

    May be called by several threads.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._closed = False
        self._spare: Waiting | None = None
        self._refill()

    def spawn(self, image: str, name: str, gives_up: Callable[[], bool]) -> Held:
        """Restore `image` under `name`, held; unless `gives_up` says that nobody wants it any more."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None and not spare.waits():
            log.warning("the supervisor that waited for a pod was killed; another is started")
            spare.close()
            spare = None
        try:
            return spawn_restored(image, name, self._root, spare, gives_up)
        finally:
            # Not at once: the pod that has just come is to go on first.
            timer = threading.Timer(_REFILL_S, self._refill)
            timer.daemon = True
            timer.start()

    def close(self) -> None:
        """End the one that waits."""
        with self._lock:
            self._closed = True
            if self._spare is not None:
                self._spare.close()
                self._spare = None

    def _refill(self) -> None:
        with self._lock:
            if self._spare is None and not self._closed:
                self._spare = Waiting(None, "waiting", warm=True)

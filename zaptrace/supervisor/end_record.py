"""The record of how a pod ended, where there may be no room for it.

It is written again and again then. Meanwhile its supervisor stays, and tells whoever asks.
"""

from __future__ import annotations

import time

from ..errors import ZaptraceError
from ..log import log

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from typing import Any

    from .runtime import PodDir

_AGAIN_S = 1.0
_KEPT_S = 24 * 3600.0


class EndRecord:
    """To be written once into the entry of a pod."""

    def __init__(self, entry: PodDir, facts: dict[str, Any]) -> None:
        self._entry = entry
        self._facts = facts
        self._began = time.monotonic()
        self._next = 0.0
        self._settled = False

    def settled(self) -> bool:
        """It is written, or it was given up."""
        if not self._settled and time.monotonic() >= self._next:
            self._settled = self._write() or time.monotonic() > self._began + _KEPT_S
        return self._settled

    def give_up(self) -> None:
        """Somebody has been told, and wants us gone."""
        if not self._settled:
            self._write()
        self._settled = True

    def _write(self) -> bool:
        try:
            self._entry.record_end(self._facts)
        except (OSError, ZaptraceError) as e:
            if not self._next:
                log.error("how the pod ended cannot be written down, and is kept here: %s", e)
            self._next = time.monotonic() + _AGAIN_S
            return False
        return True

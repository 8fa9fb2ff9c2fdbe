"""The log of a detached pod: a pipe that is its stdout and stderr, and the file that it fills.

A pipe and not the file itself: the file's path belongs to this host and this name, while a pipe at
the edge of the pod is a stdio slot, which any host can fill again.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..log import log
from .terminal import Ring

_CHUNK = 65536


class PodLog:
    """Belongs to the coordinator thread."""

    def __init__(self, path: Path) -> None:
        self.recent = Ring(64 * 1024)
        self.source, self.pod_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.source, False)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)

    def given(self) -> None:
        """The pod has its end of the pipe; ours is closed, so that we see when all writers left."""
        os.close(self.pod_end)

    def pump(self) -> bool:
        """Move what the pod wrote into the file; False when there is no more now."""
        if self.source < 0:
            return False
        try:
            data = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            os.close(self.source)
            self.source = -1
            return False
        self.recent.append(data)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as e:  # a full disk must not end the pod
            log.error("the log cannot be written: %s", e)
        return True

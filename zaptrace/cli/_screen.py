"""Our terminal as a pod's output is shown on it, by a thread of its own.

A terminal takes nothing while it is stopped (ctrl-s), or while nobody reads it, and a write to it then
waits for as long. Whoever hears keys and signals must not, so what is shown is handed over here.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading

from ..errors import start_thread

_LAST_WORDS_S = 1.0


class Screen:
    """Shows what it is given, in order. `progress` can be read when some of it was shown."""

    def __init__(self, out: int) -> None:
        self.progress = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.shown_to = 0
        """The mark of the last that was shown."""
        self._out = out
        self._waiting: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self._last = 0
        # It may be stuck when we end: then it ends with us.
        self._thread = threading.Thread(target=self._serve, name="screen", daemon=True)
        start_thread(self._thread)

    @property
    def is_done(self) -> bool:
        """True when all is shown."""
        return self.shown_to == self._last

    def show(self, data: bytes, mark: int) -> None:
        """Show `data`, and then say so by `mark`, which grows."""
        self._last = mark
        self._waiting.put((data, mark))

    def add(self, data: bytes) -> None:
        """Show `data`, of which nobody wants to hear."""
        if data:
            self._waiting.put((data, self._last))

    def has_moved(self) -> bool:
        """Was something shown since the last time?"""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.progress)
            return True
        return False

    def close(self) -> bool:
        """No more comes. False when it is stuck: then words of ours would be, too."""
        self._waiting.put(None)
        self._thread.join(_LAST_WORDS_S)
        if self._thread.is_alive():
            return False
        os.close(self.progress)
        return True

    def _serve(self) -> None:
        while (one := self._waiting.get()) is not None:
            data, mark = one
            self._write(data)
            self.shown_to = mark
            os.eventfd_write(self.progress, 1)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._out, view) :]
            except BlockingIOError:
                _wait_for_room(self._out)
            except OSError:  # our terminal is gone; its SIGHUP tells the rest
                return


def _wait_for_room(fd: int) -> None:
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()

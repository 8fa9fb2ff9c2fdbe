"""Giving up work that is under way: one thread asks for it, the one that works notices.

cancel = Cancel("the checkpoint of pod 'web'")
cancel.ask("zaptrace stop")        from any thread; False: it is too late for that
cancel.check()                     by who works, as often as it can: raises Cancelled
with cancel.waking(f):             by who is about to wait: f is called when it is asked for
cancel.commit()                    by who works: from here on there is no way back
"""

from __future__ import annotations

import contextlib
import threading

from .errors import Cancelled

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Cancel:
    """One piece of work, which can be given up until it commits."""

    def __init__(self, work: str = "the work") -> None:
        self._work = work
        self._lock = threading.Lock()
        self._who: str | None = None
        self._committed = False
        self._wakers: list[Callable[[], None]] = []

    @property
    def asked(self) -> bool:
        """True once it is to be given up."""
        return self._who is not None

    def ask(self, who: str) -> bool:
        """Have the work given up, because of `who`. False when it is past its point of no return."""
        with self._lock:
            if self._committed:
                return False
            wakers = [] if self._who else list(self._wakers)
            self._who = self._who or who
        for wake in wakers:
            wake()
        return True

    def check(self) -> None:
        """Raise Cancelled, when it is to be given up."""
        if self._who is not None:
            raise self.error()

    def commit(self) -> None:
        """The point of no return. Raises Cancelled when it was asked for before."""
        with self._lock:
            self._committed = self._who is None
        if not self._committed:
            raise self.error()

    def error(self) -> Cancelled:
        """What to raise in place of a wait that was cut."""
        return Cancelled(f"{self._work} was cancelled", found=self._who)

    @contextlib.contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Inside, `wake` is called when it is asked for, from whatever thread; at once, if it was."""
        with self._lock:
            self._wakers.append(wake)
        try:
            if self.asked:
                wake()
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)

"""How work gets out of the coordinator thread and its results back in.

A worker calls the pod and nothing else of ours. What it returns comes back as an event: a function
that the coordinator calls in its next turn. At most one *exclusive* work (making the pod, freeze, thaw,
checkpoint, migrate) is under way; `when_free` keeps events back until it is done, because a verb that
takes the pod away (migrate, checkpoint --stop) knows better why the pod has ended than who saw it end.
Exclusive work can be given up, until it commits: see cancel.py.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque

from ..cancel import Cancel
from ..errors import PodError, ZaptraceError, start_thread
from ..log import unforeseen

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Event: TypeAlias = Callable[[], object]
    Results: TypeAlias = dict[str, Any]


class Workers:
    """Everything but `post` belongs to the coordinator thread."""

    def __init__(self, pod: str) -> None:
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """Readable when there are events."""
        self.busy: str | None = None
        """The exclusive work that is under way."""
        self.cancel = Cancel()
        """By which that can be given up."""
        self.free = threading.Event()
        """Set while there is none; for threads that wait for that."""
        self.free.set()
        self._pod = pod
        self._events: deque[Event] = deque()  # which any thread may add to
        self._when_free: list[Event] = []

    def post(self, event: Event) -> None:
        """Have the coordinator call `event`. From any thread, and from signal handlers."""
        self._events.append(event)
        os.eventfd_write(self.wake, 1)

    def turn(self) -> None:
        """Call the events that have come."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.wake)
        while self._events:
            self._events.popleft()()

    def when_free(self, event: Event) -> None:
        """Call `event` now, or when the exclusive work is done."""
        if self.busy is None:
            event()
        else:
            self._when_free.append(event)

    def check_free(self, verb: str) -> None:
        """PodError when exclusive work is under way."""
        if self.busy is not None:
            raise PodError(
                f"cannot {verb} pod {self._pod!r} now",
                needed="no other work on the pod",
                found=f"a {self.busy} is under way",
                do="try again when it is done",
                changed="nothing",
            )

    def run(
        self,
        work: Callable[[], Results | None],
        then: Callable[[Results], object] | None = None,
        failed: Callable[[ZaptraceError], object] | None = None,
        exclusive: str | None = None,
        doing: str | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Call `work` in a thread of its own, and then `then` or `failed` in the coordinator.

        `doing` is what it does, if that is not what `exclusive` says: "signal". `cancel` is what
        exclusive work looks at; without, it cannot be given up.
        """
        if exclusive is not None:
            self.check_free(exclusive)
            self.busy = exclusive
            self.free.clear()
            self.cancel = cancel or committed()

        def finished(results: Results, error: ZaptraceError | None) -> None:
            if exclusive is not None:
                self.busy = None
                self.free.set()
            if error is None and then is not None:
                then(results)
            elif error is not None and failed is not None:
                failed(error)
            while self.busy is None and self._when_free:
                self._when_free.pop(0)()

        def worker() -> None:
            results: Results = {}
            error: ZaptraceError | None = None
            try:
                results = work() or {}
            except ZaptraceError as e:
                error = e
            except Exception as e:
                error = unforeseen(f"{doing or exclusive or 'do that to'} pod {self._pod!r}", e)
            self.post(lambda: finished(results, error))

        try:
            start_thread(threading.Thread(target=worker, daemon=True))
        except ZaptraceError as e:
            refused = e
            self.post(lambda: finished({}, refused))


def committed() -> Cancel:
    """Of work that takes no time, or cannot be given up."""
    cancel = Cancel()
    cancel.commit()
    return cancel

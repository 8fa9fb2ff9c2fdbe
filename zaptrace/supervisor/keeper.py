"""The images of a job: made by time, and when a signal says that the job has to leave its host.

    by time      every so many seconds, a tenth more or less; the pod goes on
    at a signal  an image that stops the pod. An image by time, a freeze or a hand-over that is under way
                 is given up for it, where that can be; what fails is tried again until the pod is gone

A batch system sends its signal to one process, to all of a group or a session, or to all that it finds
in a cgroup: to our client, to us, and to the programs of the pod. It counts once, and from whom we have
it does not matter. The programs do not get it (zt_pod_keep_out), unless one of their own sends it, or one
waits for it with signalfd(2) or sigwait(3).

It is the supervisor that does so: no client has to be there. The directory is held as long as the pod
lives (image/series.py), so a job runs once.

Belongs to the coordinator thread.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import TYPE_CHECKING, Protocol

from ..cancel import Cancel
from ..errors import Cancelled, ZaptraceError
from ..image.series import Series, is_series
from ..log import log
from . import last_image
from .control import Outcome
from .terminal import asked_by

if TYPE_CHECKING:
    from typing import Any

    from ..pod.checkpoint import Then
    from ..pod.pod import Pod
    from ..view.frozen import Outside
    from .engine import Engine
    from .making import Making
    from .starter import Job
    from .stopping import Stopping
    from .terminal import Terminal
    from .workers import Results, Workers

JITTER = 0.1
"""So much of the time between two images they come earlier or later: jobs that began together do not
all write at once."""
_BUSY_S = 1.0
_AGAIN_S = 5.0


class Owner(Protocol):
    """What this needs of the supervisor."""

    job: Job
    engine: Engine
    pod: Pod
    workers: Workers
    stopping: Stopping
    making: Making | None
    terminal: Terminal | None
    held: bool

    @property
    def over(self) -> bool:
        """True when there is nothing to end any more, or there never was."""

    def end(self, outcome: Outcome) -> None:
        """The pod is not here any more."""

    def say(self, text: str) -> None:
        """Tell whoever started the pod, and stays with it."""


class Keeper:
    """Of one pod."""

    def __init__(self, of: Owner, directory: str) -> None:
        self._of = of
        self.series = Series(directory)
        self.leave_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """Readable when a signal that says so was sent to processes of the pod."""
        self.wanted = ""
        """Why the job is to leave, once it is."""
        self._due: float | None = None
        self._last: dict[str, Any] = {}
        self._trouble = ""

    @classmethod
    def of_job(cls, of: Owner) -> Keeper | None:
        """For a job that keeps images, or goes on from one of those that are kept; it is ours now."""
        job = of.job
        directory = job.images
        if directory is None and job.image is not None and is_series(job.image):
            directory = job.image
        if directory is None:
            return None
        keeper = cls(of, directory)
        keeper.series.hold(job.name or (job.argv[0] if job.argv else "restored"))
        return keeper

    def takes(self, number: int) -> bool:
        """Does this signal say that the job has to leave?"""
        return number in self._of.job.on

    def facts(self) -> dict[str, Any]:
        """What `zaptrace ps` shows."""
        return {"directory": self.series.path, "last": self._last, "trouble": self._trouble}

    def begin(self) -> None:
        """The pod is whole."""
        self._plan()
        if self.wanted:
            self._of.workers.when_free(self._save)

    def due_ms(self) -> int | None:
        """Until there is something to do."""
        if self._due is None:
            return None
        return max(0, int((self._due - time.monotonic()) * 1000) + 1)

    def turn(self) -> None:
        """Do what is due."""
        of = self._of
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.leave_fd)
            self.save("a signal to a process of the pod, from outside")
        if self._due is None or time.monotonic() < self._due:
            return
        self._due = None
        if of.over or of.making is not None:
            return
        if self.wanted:
            of.workers.when_free(self._save)
        elif of.workers.busy is not None or of.held:
            self._due = time.monotonic() + _BUSY_S
        else:
            self._write("resume")

    def save(self, why: str) -> None:
        """The job has to leave: an image, and then the end of the pod here."""
        of = self._of
        if self.wanted or of.over:
            return
        log.info("the job is to be saved: %s", why)
        self.wanted = why
        if of.making is not None:  # nothing was done that an older image does not have
            of.stopping.give_up_making(why)
            return
        if of.workers.busy is not None:
            of.workers.cancel.ask(why)
        of.workers.when_free(self._save)

    def ended(self, outcome: Outcome) -> Outcome:
        """The pod is not here any more, and the job can be started again; what is to be told."""
        if outcome.how == "exited" and outcome.status == 0:
            self.series.note_end()
        self.let_go()
        return outcome.but(images=self.series.path if self._of.job.images else None)

    def let_go(self) -> None:
        """There is no pod."""
        self.series.let_go()

    def _plan(self) -> None:
        every = self._of.job.every
        if every:
            self._due = time.monotonic() + every * random.uniform(1 - JITTER, 1 + JITTER)

    def _save(self) -> None:
        if not self._of.over and self._of.workers.busy is None:
            self._write("stop")

    def _write(self, then: Then) -> None:
        of, job = self._of, self._of.job
        outside: Outside = "close" if job.outside == "close" else "refuse"
        cancel = Cancel(f"the image of the job in {self.series.path}")
        shown = asked_by(of.workers, of.terminal) if of.terminal is not None else lambda: None
        to = ""

        def work() -> Results:
            nonlocal to
            to = self.series.next()
            report = of.engine.checkpoint(
                of.pod, to, then, job.codec, True, outside, lambda _: None, cancel, shown
            )
            last_image.note(job.root, to)
            self.series.rotate(job.keep)
            return report

        def done(report: Results) -> None:
            log.info("wrote %s", to)
            self._last, self._trouble = {"image": to, "made": time.time(), **report}, ""
            if then == "stop":
                of.end(Outcome("checkpointed", to=to))
            else:
                self._plan()

        of.workers.run(work, done, lambda e: self._failed(then, e), "checkpoint", cancel=cancel)

    def _failed(self, then: Then, error: ZaptraceError) -> None:
        if self._of.over:
            return
        if then == "resume" and self.wanted and isinstance(error, Cancelled):
            return  # for the image that comes at once
        log.error("%s", error)
        if error.what != self._trouble:  # else it was said
            self._of.say(f"no image of the job could be made, which runs on: {error}")
        self._trouble = error.what
        if self.wanted:
            self._due = time.monotonic() + _AGAIN_S
        else:
            self._plan()

"""How a pod is ended because somebody wants that, whatever is being done to it.

    being made              the making is given up, and what there is of the pod is removed
    a checkpoint            it is waited for; a signal to the supervisor, or SIGKILL, has it given up
    another verb            it is given up, so the pod runs on; then as always
    past the point of no    that is said: a pod that is being handed over ends over there
    return of a migration
    otherwise               SIGTERM to all, and after the grace time SIGKILL to what is left

A shell at a terminal ignores SIGTERM: whoever does, and has a terminal, gets SIGHUP as if that had hung up.
Who waits is told after a second what for.

What was given up and does not end is cut: its pod gets SIGKILL, past the tracer. What does not even
end then hangs in this process: it ends, and the kernel ends the pod with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading

from ..cancel import Cancel
from ..errors import Cancelled, PodError, ZaptraceError
from ..log import log
from .workers import committed

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol

    from ..pod.listing import ProcessInfo
    from ..pod.pod import Pod
    from .control_socket import ControlSocket, Request
    from .making import Making
    from .starter import Job
    from .workers import Workers
else:
    Protocol = object

_ABANDON_S = 5.0
"""How long a pod that is being made may take to be removed again."""
_CUT_AGAIN_S = 0.2
_TELL_S = 1.0
_MOST_TOLD = 8
_PATIENCE_S = 15.0
"""How long work that was given up may take to end; then its pod is ended."""
_LAST_RESORT_S = 15.0


class Owner(Protocol):
    """What this needs of the supervisor."""

    job: Job
    pod: Pod
    workers: Workers
    control_socket: ControlSocket
    making: Making | None
    waiting: list[Request]
    held: bool

    @property
    def over(self) -> bool:
        """True when there is nothing to end any more, or there never was."""

    def last_resort(self) -> None:
        """End this process, and the pod with it."""


class Stopping:
    """Belongs to the coordinator thread, but for `emptied`."""

    def __init__(self, of: Owner) -> None:
        self._of = of
        self._empty = threading.Event()
        self._over = threading.Event()
        self._cancel = committed()

    @property
    def cancel(self) -> Cancel:
        """Of the time between SIGTERM and SIGKILL."""
        return self._cancel

    def emptied(self) -> None:
        """Nothing is left of the pod. From any thread."""
        self._empty.set()
        self._over.set()

    def stop(self, grace: float, who: str, *, queues: bool = False) -> None:
        """SIGTERM to every process, and SIGKILL to those that are left after `grace` seconds.

        Raises PodError when the pod is past that. With `queues` a checkpoint is waited for.
        """
        if self._gives_up_making(who):
            return
        if queues and self._of.workers.busy == "checkpoint":
            self._queue(grace)
        else:
            self.give_up_work(who, cut_after=_PATIENCE_S)
            self._of.workers.when_free(lambda: self._stop(grace))

    def kill(self, who: str) -> None:
        """SIGKILL to every process; what is under way is cut short. Raises PodError as `stop`."""
        if not self._gives_up_making(who):
            self.give_up_work(who, cut_after=0.0)
            if self._of.making is None:
                self._kill()
            else:  # it is whole, and about to be told
                self._of.workers.when_free(self._kill)

    def give_up_work(self, who: str, cut_after: float | None = None) -> None:
        """Have exclusive work given up. PodError when a migration is past its point of no return.

        With `cut_after`, what has not ended after so many seconds is cut: the pod ends.
        """
        of = self._of
        if of.workers.busy is None or of.making is not None:
            return
        if not of.workers.cancel.ask(who) and of.workers.busy == "migrate":
            raise PodError(
                f"pod {of.job.name!r} is being handed over, which cannot be cancelled any more",
                needed="that before the copy here was ended",
                found="it is ended, and the other host is told to let its copy go on",
                do="see there: zaptrace ps, zaptrace stop",
                changed="nothing; the hand-over goes on",
            )
        if cut_after is not None:
            self._cut_short_after(cut_after)

    def _gives_up_making(self, who: str) -> bool:
        """True when the pod is being made, and is not to be."""
        making, free = self._of.making, self._of.workers.free
        if making is None or not making.cancel.ask(who):
            return False

        def work() -> None:
            tries = int(_ABANDON_S / _CUT_AGAIN_S)
            while not free.wait(_CUT_AGAIN_S):
                making.cut()
                tries -= 1
                if not tries:
                    log.error("what was made of the pod cannot be removed: it ends with us")
                    os._exit(1)

        self._of.workers.run(work, doing="give up making")
        return True

    def give_up_making(self, who: str) -> None:
        """Nobody wants the pod that is being made; if it is whole, it stays."""
        self._gives_up_making(who)

    def _queue(self, grace: float) -> None:
        """Behind the checkpoint that is under way."""
        of = self._of
        self._cancel = cancel = Cancel(f"the stop of pod {of.job.name!r}")
        queued = contextlib.ExitStack()

        def given_up() -> None:
            error = cancel.error()
            error.changed = "nothing; the checkpoint goes on, and the pod after it as it is to"
            self._failed(error)

        def tell() -> None:
            if not of.workers.free.wait(_TELL_S):
                self._tell({"behind": "checkpoint"})

        def go_on() -> None:
            queued.close()
            if not cancel.asked:
                self._stop(grace)

        queued.enter_context(cancel.waking(lambda: of.workers.post(given_up)))
        of.workers.run(tell, doing="wait to stop")
        of.workers.when_free(go_on)

    def _tell(self, facts: dict[str, Any]) -> None:
        """Those who wait for it. From any thread."""
        of = self._of

        def tell() -> None:
            for request in of.waiting:
                if request.verb == "stop":
                    of.control_socket.send(request.client, {"id": request.id, "progress": facts})

        of.workers.post(tell)

    def _stop(self, grace: float) -> None:
        of = self._of
        if of.over:
            return
        self._cancel = cancel = Cancel(f"the stop of pod {of.job.name!r}")
        self._over.clear()
        if self._empty.is_set():
            self._over.set()

        def work() -> None:
            self._signal(signal.SIGTERM, of.pod.processes())
            self._signal(signal.SIGHUP, filter(_only_hangs_up, of.pod.processes()))
            of.pod.thaw()
            self._signal(signal.SIGCONT, of.pod.processes())
            with cancel.waking(self._over.set):
                if not self._over.wait(min(grace, _TELL_S)) and grace > _TELL_S:
                    self._tell(self._left(grace - _TELL_S))
                    self._over.wait(grace - _TELL_S)
            if self._empty.is_set():
                return
            try:
                cancel.commit()
            except Cancelled as error:
                error.changed = "its processes have been sent SIGTERM; none will be sent SIGKILL"
                raise
            of.pod.kill()

        of.held = False
        of.workers.run(work, failed=self._failed, doing="stop")

    def _kill(self) -> None:
        if not self._of.over:
            self._of.held = False
            self._of.workers.run(self._of.pod.kill, failed=self._failed, doing="kill")

    def _cut_short_after(self, patience: float) -> None:
        of = self._of

        def work() -> None:
            if of.workers.free.wait(patience):
                return
            log.warning("work on the pod is cut short")
            of.pod.cut()
            if not of.workers.free.wait(_LAST_RESORT_S):
                of.workers.post(of.last_resort)

        of.workers.run(work, doing="cut short the work on")

    def _signal(self, number: int, processes: Iterable[ProcessInfo]) -> None:
        for process in processes:
            with contextlib.suppress(ZaptraceError, ProcessLookupError):
                self._of.pod.signal(number, process.vpid)

    def _left(self, seconds: float) -> dict[str, Any]:
        """Whom it waits for, and how long yet."""
        left = [p for p in self._of.pod.processes() if p.state != "Z"]
        names = [[process.vpid, process.comm] for process in left[:_MOST_TOLD]]
        return {"left": names, "more": len(left) - len(names), "seconds": seconds}

    def _failed(self, error: ZaptraceError) -> None:
        """Those who wanted the end are told; those who wait for it, only if there is none to come."""
        log.error("%s", error)
        of = self._of
        stay = [r for r in of.waiting if r.verb == "wait" and isinstance(error, Cancelled)]
        told = [r for r in of.waiting if r not in stay]
        of.waiting = stay
        for request in told:
            of.control_socket.fail(request, error)


def _only_hangs_up(process: ProcessInfo) -> bool:
    """Does it ignore SIGTERM, and have a terminal? So do shells that somebody types to."""
    from ..linux import procfs

    try:
        terminal = int(procfs.stat_fields(f"/proc/{process.rpid}/stat")[4])
        ignored = int(procfs.status(process.rpid)["SigIgn"], 16)
    except (OSError, ValueError, KeyError, IndexError):  # it has ended
        return False
    return terminal != 0 and bool(ignored >> (signal.SIGTERM - 1) & 1)

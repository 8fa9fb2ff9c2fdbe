"""Processes that join a pod (zaptrace exec): each is waited for by a thread, and told to whoever asked.

    request ──▶ (when no other work is on the pod) it is launched ──▶ progress: its vpid
                its end ──▶ status            the pod goes elsewhere, or is gone ──▶ outcome

Whoever asked may go away before; the process does not mind, but for its stdio.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..cancel import Cancel
from ..errors import PodError, ZaptraceError, start_thread
from . import own_process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..pod.joining import Joined, Program
    from ..pod.pod import Pod
    from .control import Outcome
    from .control_socket import ControlSocket, Request
    from .engine import Engine
    from .logs import PodLog
    from .starter import Job
    from .workers import Workers

_STDIO = 3
_LAST_WORDS_S = 2.0
_AWAY = ("checkpointed", "migrated", "discarded", "failed")
"""Ends of a pod that say more than that its processes got SIGKILL."""


class Owner(Protocol):
    """What this needs of the supervisor."""

    job: Job
    engine: Engine
    pod: Pod
    outcome: Outcome | None
    workers: Workers
    control_socket: ControlSocket
    pod_log: PodLog | None

    @property
    def ending(self) -> bool:
        """True when the pod is not here any more and the last are being told."""


@dataclass(eq=False)
class _One:
    """A process of whose end somebody wants to hear."""

    request: Request
    status: int | None = None
    known: threading.Event = field(default_factory=threading.Event)


class Executing:
    """Belongs to the coordinator thread."""

    def __init__(self, of: Owner) -> None:
        self._of = of
        self._awaited: list[_One] = []

    def begin(self, request: Request, program: Program, fds: list[int], detach: bool) -> None:
        """Launch it, when nothing else is done to the pod. The descriptors are ours."""
        of = self._of
        if (len(fds) != _STDIO and not detach) or not program.is_sound():
            _close(fds)
            raise PodError(
                "bad arguments for 'exec'",
                needed="a command, and its stdin, stdout and stderr as descriptors",
                found=f"{len(fds)} descriptors and {program.argv!r}"[:200],
                changed="nothing",
            )
        cancel = Cancel(f"the exec of {program.words[0]} in pod {of.job.name!r}")

        def work() -> dict[str, Any]:
            try:
                given = fds
                if detach:
                    given = fds + self._unseen()
                    fds[:] = given
                with own_process.umask(program.umask):
                    joined = of.engine.join(of.pod, program, given, cancel)
                return {"joined": joined}
            finally:
                _close(fds)

        def failed(error: ZaptraceError) -> None:
            of.control_socket.fail(request, error)

        def go() -> None:
            if of.ending:
                _close(fds)
                failed(PodError(f"pod {of.job.name!r} has ended", changed="nothing"))
                return
            of.workers.run(
                work,
                lambda done: self._runs(request, done["joined"], detach),
                failed,
                exclusive="exec",
                cancel=cancel,
            )

        of.workers.when_free(go)

    def over(self, outcome: Outcome) -> None:
        """Nothing is left of the pod. What is known of how they ended is told."""
        for one in list(self._awaited):
            one.known.wait(_LAST_WORDS_S)
            self._tell(one, outcome)

    def _runs(self, request: Request, joined: Joined, detach: bool) -> None:
        of, one = self._of, _One(request)
        vpid = int(joined.vpid)
        if detach:
            of.control_socket.reply(request, vpid=vpid)
        else:
            self._awaited.append(one)
            of.control_socket.send(request.client, {"id": request.id, "progress": {"vpid": vpid}})

        def wait() -> None:
            from ..pod.joining import leave

            one.status = joined.status()
            one.known.set()
            leave(of.pod, joined)
            of.workers.post(lambda: of.workers.when_free(lambda: self._ended(one)))

        start_thread(threading.Thread(target=wait, name=f"wait for {vpid}", daemon=True))

    def _ended(self, one: _One) -> None:
        if one.status is not None and not (self._of.outcome and self._of.outcome.how in _AWAY):
            self._tell(one, None)

    def _tell(self, one: _One, outcome: Outcome | None) -> None:
        if one not in self._awaited:
            return
        self._awaited.remove(one)
        if outcome is not None and (one.status is None or outcome.how in _AWAY):
            self._of.control_socket.reply(one.request, outcome=outcome.to_dict())
        else:
            self._of.control_socket.reply(one.request, status=one.status)

    def _unseen(self) -> list[int]:
        """Nothing to read, and the pod's log to write to, if it has one."""
        log = self._of.pod_log
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if log is None or log.source < 0:
            return [nothing, os.dup(nothing), os.dup(nothing)]
        out = os.open(f"/proc/self/fd/{log.source}", os.O_WRONLY | os.O_CLOEXEC)
        return [nothing, out, os.dup(out)]


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)

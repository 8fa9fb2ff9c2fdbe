"""The verbs of the control socket: a method for each, from its request to its reply.

They run in the coordinator thread; whatever touches the pod goes through the workers.
"""

from __future__ import annotations

import signal as signals
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..cancel import Cancel
from ..errors import PodError, ZaptraceError
from ..log import unforeseen
from ..pod.joining import Program
from . import again, last_image
from .arguments import checked
from .control import Outcome
from .control_socket import Request
from .engine import as_dict
from .executing import Executing
from .groups import signal_group
from .terminal import asked_by

if TYPE_CHECKING:
    from ..pod.checkpoint import Then
    from ..pod.pod import Pod
    from ..view.frozen import Outside
    from .attach import Viewers
    from .control_socket import ControlSocket
    from .engine import Engine, Progress, Shown
    from .keeper import Keeper
    from .logs import PodLog
    from .making import Making
    from .starter import Job
    from .stopping import Stopping
    from .terminal import Terminal
    from .workers import Results, Workers

_PROGRESS_S = 0.05
_PATIENCE_S = 15.0
_NAMES = {
    "checkpoint": "checkpointing",
    "migrate": "migrating",
    "launch": "starting",
    "restore": "restoring",
    "freeze": "freezing",
    "exec": "running",
}
_EARLY = ("status", "wait", "stop", "discard", "cancel", "input", "resize", "ack", "detach")
"""What can be asked of a pod that is not whole yet."""
_BEHIND_EXEC = ("freeze", "thaw", "checkpoint", "try", "migrate")
"""What waits until a process has joined the pod: that takes milliseconds."""


class Owner(Protocol):
    """What the verbs need of the supervisor."""

    job: Job
    engine: Engine
    pod: Pod
    meta: dict[str, Any]
    control_socket: ControlSocket
    workers: Workers
    terminal: Terminal | None
    viewers: Viewers | None
    pod_log: PodLog | None
    waiting: list[Request]
    outcome: Outcome | None
    held: bool
    met_client: bool

    making: Making | None
    keeper: Keeper | None
    stopping: Stopping

    @property
    def ending(self) -> bool:
        """True when the pod is not here any more and the last are being told."""

    def discard(self) -> None:
        """End a pod that was not to be."""

    def end(self, outcome: Outcome) -> None:
        """The pod is not here any more."""


class Verbs:
    """What clients may ask of one supervisor."""

    def __init__(self, of: Owner) -> None:
        self._of = of
        self._under_way: dict[tuple[bytes, int], Cancel] = {}
        """What can be given up, by who has asked for it."""
        self._executing = Executing(of)

    def over(self, outcome: Outcome) -> None:
        """Nothing is left of the pod: whoever waits for a process of it is told."""
        self._executing.over(outcome)

    def serve(self, request: Request) -> None:
        """Do what is asked, or answer why not."""
        control_socket = self._of.control_socket
        handler = getattr(self, f"do_{request.verb}", None)
        try:
            if handler is None:
                raise PodError(
                    f"the supervisor knows no verb {request.verb!r}",
                    do="use the same zaptrace for the client and for the pod",
                    changed="nothing",
                )
            arguments = checked(handler, request)
            if request.verb not in _EARLY:
                self._check_whole(request.verb)
            if request.verb in _BEHIND_EXEC and self._of.workers.busy == "exec":
                self._of.workers.when_free(lambda: self.serve(request))
            else:
                handler(request, **arguments)
        except ZaptraceError as e:
            control_socket.fail(request, e)
        except Exception as e:
            doing = f"{request.verb} pod {self._of.job.name!r}"
            control_socket.fail(request, unforeseen(doing, e))

    def lost(self, client: bytes) -> None:
        """It went away: nobody wants what it had asked for."""
        for (who, _), cancel in list(self._under_way.items()):
            if who == client:
                cancel.ask("the client that asked for it is gone")

    def _check_whole(self, verb: str) -> None:
        if (making := self._of.making) is not None:
            raise PodError(
                f"cannot {verb} pod {self._of.job.name!r} yet",
                needed="a pod that is whole",
                found=f"its {making.doing} is under way",
                do="try again when zaptrace ps says that it is running",
                changed="nothing",
            )

    def _run(self, request: Request, work: Callable[[], Results | None]) -> None:
        """Reply with what `work` returns, or with its error."""
        control_socket = self._of.control_socket
        self._of.workers.run(
            work,
            lambda results: control_socket.reply(request, **results),
            lambda error: control_socket.fail(request, error),
            doing=request.verb,
        )

    def _run_exclusive(
        self,
        request: Request,
        verb: str,
        work: Callable[[Cancel], Results | None],
        then: Callable[[Results], object] = lambda _: None,
    ) -> None:
        """The same of work that nothing else may go on beside, and that can be given up."""
        of, key = self._of, (request.client, request.id)
        cancel = Cancel(f"the {request.verb} of pod {of.job.name!r}")

        def done(results: Results) -> None:
            self._under_way.pop(key, None)
            of.control_socket.reply(request, **results)
            then(results)

        def failed(error: ZaptraceError) -> None:
            self._under_way.pop(key, None)
            of.control_socket.fail(request, error)

        of.workers.run(lambda: work(cancel), done, failed, verb, request.verb, cancel)
        self._under_way[key] = cancel

    def do_cancel(self, request: Request, what: int, by: str = "a client", **_: object) -> None:
        """Have another request of the same client given up; that one says what then holds."""
        of = self._of
        cancel = self._under_way.get((request.client, what))
        if cancel is None and any((r.client, r.id) == (request.client, what) for r in of.waiting):
            cancel = of.stopping.cancel
        if cancel is None or not cancel.ask(by):
            raise PodError(
                f"that cannot be cancelled any more: pod {of.job.name!r}",
                needed="something that is under way, and not past its point of no return",
                found=f"the pod is {self._state()}",
                changed="nothing",
            )
        of.control_socket.reply(request, cancelled=True)

    # -- looking

    def do_status(self, request: Request, processes: bool = False, **_: object) -> None:
        """What `zaptrace ps` shows."""
        of, asking = self._of, self._of.control_socket.pid_of(request.client)
        facts = {
            "name": of.job.name,
            "state": self._state(),
            "meta": of.meta,
            "attached": len(of.viewers.all) if of.viewers else 0,
        }
        if of.keeper is not None:
            facts["images"] = of.keeper.facts()
        if processes and of.making is None:

            def look() -> dict[str, Any]:
                found = of.pod.processes()
                inside = any(process.rpid == asking for process in found)
                told = {"processes": list(map(as_dict, found))}
                told["answered"] = list(map(as_dict, of.engine.refusals(of.pod)))
                return facts | told | ({"inside": True} if inside else {})

            self._run(request, look)
        elif processes:
            of.control_socket.reply(request, **facts, processes=[])
        else:
            of.control_socket.reply(request, **facts)

    def do_stats(self, request: Request, **_: object) -> None:
        """What being traced costs the pod: how often its threads stopped, and where."""
        from ..pod.counts import counts

        of = self._of

        def look() -> Results:
            told = of.pod.call(counts, of.pod)
            return {"name": of.job.name, "stops": told.stops, "calls": [*map(as_dict, told.calls)]}

        self._run(request, look)

    def _state(self) -> str:
        of = self._of
        if of.outcome is not None and not of.outcome.left:
            return "ended"
        if of.workers.busy is not None:
            return _NAMES.get(of.workers.busy, of.workers.busy)
        if of.held:
            return "held"
        return "frozen" if of.pod.frozen else "running"

    def do_wait(self, request: Request, **_: object) -> None:
        """Answered when the pod ends."""
        of = self._of
        of.met_client = True
        if of.outcome is not None and not of.ending:
            of.control_socket.reply(request, outcome=of.outcome.to_dict())
        else:
            of.waiting.append(request)

    def do_scrollback(self, request: Request, screen: bool = False, **_: object) -> None:
        """What the pod wrote last, as far as we saw it; or what makes the `screen` of its terminal."""
        of = self._of
        if screen and of.terminal is not None:
            of.control_socket.reply(request, screen=of.terminal.ring.facts())
            return
        ring = of.terminal.ring if of.terminal else of.pod_log.recent if of.pod_log else None
        at, data = ring.read(ring.start, ring.limit) if ring else (0, b"")
        of.control_socket.reply(request, data=data, at=at, tty=of.terminal is not None)

    # -- the terminal

    def do_attach(
        self,
        request: Request,
        rows: int = 0,
        cols: int = 0,
        tail: int = 0,
        redraw: bool = False,
        read_only: bool = False,
        **_: object,
    ) -> None:
        """Answered with the stream, and when the pod ends or the client detaches."""
        of = self._of
        if of.terminal is None or of.viewers is None:
            raise PodError(
                f"cannot attach to pod {of.job.name!r}: it has no terminal",
                needed="a pod that was started from a terminal without -d, or with -t",
                found=f"its stdio is {of.meta.get('stdio')}",
                do=f"zaptrace logs -f {of.job.name} shows the output of a detached pod",
                changed="nothing",
            )
        of.met_client = True
        of.viewers.attach(request, rows, cols, tail=tail, redraw=redraw, read_only=read_only)

    def do_input(self, request: Request, data: bytes = b"", **_: object) -> None:
        """Keys. Not answered."""
        viewers, terminal = self._of.viewers, self._of.terminal
        if terminal is not None and viewers is not None and viewers.may_type(request.client):
            terminal.type(data)

    def do_resize(self, request: Request, rows: int = 0, cols: int = 0, **_: object) -> None:
        """A new window size. Not answered."""
        if self._of.viewers is not None:
            self._of.viewers.resize(request.client, rows, cols)

    def do_ack(self, request: Request, at: int = 0, **_: object) -> None:
        """The client has shown everything before `at`. Not answered."""
        if self._of.viewers is not None:
            self._of.viewers.ack(request, int(at))

    def do_detach(self, request: Request, **_: object) -> None:
        """Ends the client's attach, which is answered."""
        if self._of.viewers is not None:
            self._of.viewers.detach(request.client)

    # -- the pod

    def do_freeze(self, request: Request, **_: object) -> None:
        """Stop every thread."""

        def work(cancel: Cancel) -> dict[str, Any]:
            self._of.pod.freeze(cancel)
            return {"frozen": True}

        self._run_exclusive(request, "freeze", work)

    def do_thaw(self, request: Request, **_: object) -> None:
        """Let every thread go on; also a held pod. What is being done to it meanwhile is given up."""
        of = self._of
        of.stopping.give_up_work("zaptrace thaw")
        doing = of.workers.busy

        def done(_: object) -> None:
            of.held = False
            of.control_socket.reply(request, frozen=False)

        def failed(error: ZaptraceError) -> None:
            of.control_socket.fail(request, error)

        def go_on(_: object) -> None:
            try:
                of.workers.run(of.pod.thaw, done, failed, "thaw")
            except ZaptraceError as error:
                failed(error)

        def await_end() -> None:
            if not of.workers.free.wait(_PATIENCE_S):
                raise PodError(
                    f"cannot thaw pod {of.job.name!r}: the {doing} does not end",
                    needed=f"that it ends within {_PATIENCE_S:g} s of being cancelled",
                    found="it goes on, perhaps in a file system that does not answer",
                    do=f"zaptrace stop --kill {of.job.name} ends the pod",
                    changed="nothing yet; it runs on when that ends",
                )

        of.workers.run(await_end, go_on, failed, doing="thaw")

    def do_signal(
        self,
        request: Request,
        signal: int,
        vpid: int | None = None,
        group: bool = False,
        heard: bool = False,
        **_: object,
    ) -> None:
        """To one process, or to its process group; without a number to the root process.

        One that was `heard` by a client may say that the job has to leave; then the pod has no part in it.
        """
        keeper = self._of.keeper
        if heard and keeper is not None and keeper.takes(signal):
            keeper.save(f"signal {signal} to the client")
            self._of.control_socket.reply(request)
            return
        if signal and signal not in signals.valid_signals():
            raise PodError(f"there is no signal {signal}", changed="nothing")

        def work() -> None:
            if group:
                signal_group(self._of.pod, int(signal), vpid)
            else:
                self._of.pod.signal(int(signal), vpid)

        self._run(request, work)

    def do_exec(
        self,
        request: Request,
        argv: list[bytes],
        cwd: bytes,
        env: list[bytes],
        umask: int = 0o077,
        tty: bool = False,
        detach: bool = False,
        **_: object,
    ) -> None:
        """A process more; answered when it has ended, with `detach` once it runs."""
        fds = self._of.control_socket.take_fds(request.client)
        self._executing.begin(request, Program(argv, cwd, env, umask, tty), fds, detach)

    def do_stop(
        self, request: Request, grace: float = 10.0, kill: bool = False, **_: object
    ) -> None:
        """End the pod; answered when nothing is left of it. It waits for a checkpoint."""
        of = self._of
        if kill:
            of.stopping.kill("zaptrace stop --kill")
        else:
            of.stopping.stop(float(grace), "zaptrace stop", queues=True)
        of.waiting.append(request)

    def do_discard(self, request: Request, **_: object) -> None:
        """End a pod that was not to be; answered when nothing is left of it."""
        self._of.discard()
        self._of.waiting.append(request)

    def do_checkpoint(
        self,
        request: Request,
        to: str,
        then: str = "resume",
        codec: str | None = None,
        rehearsal: bool = True,
        outside: str = "refuse",
        scrollback: bool = True,
        overwrite: bool = False,
        **_: object,
    ) -> None:
        """Write an image."""
        of = self._of
        beyond: Outside = "close" if outside == "close" else "refuse"
        next_: Then = "stop" if then == "stop" else "resume"
        shown = self._shown(scrollback)

        def work(cancel: Cancel) -> dict[str, Any]:
            progress = self._progress(request)
            done = of.engine.checkpoint(
                of.pod, to, next_, codec, rehearsal, beyond, progress, cancel, shown, overwrite
            )
            last_image.note(of.job.root, to)
            return {"report": done}

        def ended(_: object) -> None:
            of.meta["last_image"] = to
            if then == "stop":
                of.end(Outcome("checkpointed", to=to))

        self._run_exclusive(request, "checkpoint", work, ended)

    def do_rollback(
        self, request: Request, image: str, allow_changed: list[str] | None = None, **_: object
    ) -> None:
        """For a pod that wants to be put back itself: another process does it. See again.py."""
        job, instance = self._of.job, str(self._of.meta.get("instance"))
        asked = [job.name or "", job.root, instance, image, allow_changed or []]
        self._run(request, lambda: again.by_another("rollback", *asked))

    def do_branch(
        self,
        request: Request,
        image: str,
        name: str,
        ports: list[Any],
        sockets: dict[str, Any],
        **_: object,
    ) -> None:
        """For a pod that wants a second one of itself, from an image that it had made."""
        asked = [self._of.job.root, name, image, ports, sockets]
        self._run(request, lambda: again.by_another("branch", *asked))

    def do_try(self, request: Request, **_: object) -> None:
        """A checkpoint that is thrown away."""
        of = self._of
        self._run_exclusive(
            request, "checkpoint", lambda cancel: {"report": of.engine.attempt(of.pod, cancel)}
        )

    def _shown(self, wanted: bool) -> Shown:
        terminal = self._of.terminal if wanted else None
        return asked_by(self._of.workers, terminal) if terminal is not None else lambda: None

    def do_migrate(
        self,
        request: Request,
        to: str,
        options: dict[str, Any] | None = None,
        scrollback: bool = True,
        **_: object,
    ) -> None:
        """Hand the pod over to another host."""
        of, shown = self._of, self._shown(scrollback)

        def work(cancel: Cancel) -> dict[str, Any]:
            progress = self._progress(request)
            return {"report": of.engine.migrate(of.pod, to, options or {}, progress, cancel, shown)}

        self._run_exclusive(request, "migrate", work, lambda _: of.end(Outcome("migrated", to=to)))

    def _progress(self, request: Request) -> Progress:
        of, last = self._of, 0.0

        def progress(facts: dict[str, Any]) -> None:
            nonlocal last
            if time.monotonic() - last < _PROGRESS_S:
                return
            last = time.monotonic()
            message = {"id": request.id, "progress": facts}
            of.workers.post(lambda: of.control_socket.send(request.client, message))

        return progress

"""The supervisor: one process per pod, which owns it and answers for it.

    coordinator (main thread)   the control socket, the terminal or the log, signals, the end; it
                                never waits for anything else, so it answers at all times
    wait thread                 sits in pod.wait and reports the end
    worker threads              one makes the pod, and one per verb under way; they call the pod,
                                never the socket
    tracer thread               inside Pod

Only the coordinator touches the socket and this object's state; see workers.py for how the others
reach it, verbs.py for what clients may ask, attach.py for who is attached.

Nothing that a client does ends the pod unless it is a verb for that: clients may die, stall, or
send rubbish. If this process dies, the kernel kills the pod with it (PTRACE_O_EXITKILL).
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time

from ..errors import PodError, ZaptraceError, start_thread
from ..log import log, unforeseen
from . import control, kept, own_process, runtime, starter
from .control import Outcome
from .control_socket import ControlSocket
from .end_record import EndRecord
from .engine import Engine
from .making import Making, claim, command_line
from .starter import Held, Job, spawn_restored
from .stopping import Stopping
from .workers import Workers

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from typing import Any

    from ..pod.pod import Pod
    from .attach import Viewers
    from .control_socket import Request
    from .keeper import Keeper
    from .logs import PodLog
    from .terminal import Terminal
    from .verbs import Verbs
    from .workers import Event, Results

__all__ = ["Engine", "Held", "Supervisor", "main", "spawn_restored"]

_SETTLE_S = 0.05
"""How long processes may take to follow their root before we say that they live on."""
_GRACE_S = 10.0
_LAST_OUTPUT = 1 << 18
"""More than there can be in a terminal that a pod has left."""


class Supervisor:
    """The coordinator of one pod."""

    def __init__(self, job: Job, lifeline: socket.socket, engine: Engine) -> None:
        self.job = job
        self.engine = engine
        self.instance = os.urandom(16).hex()
        self.meta: dict[str, Any] = {}
        self.pod: Pod
        self.entry: runtime.PodDir | None = None
        self.terminal: Terminal | None = None
        self.viewers: Viewers | None = None
        self.pod_log: PodLog | None = None
        self.waiting: list[Request] = []
        """Who wants to know how the pod ends."""
        self.outcome: Outcome | None = None
        self.held = False
        self.met_client = False
        self._discarded = False
        self._record: EndRecord | None = None
        self.making: Making | None = None
        """While the pod is not whole."""
        self.keeper: Keeper | None = None
        """Of a pod that is a job."""
        self._lifeline: socket.socket | None = lifeline
        self._lifeline_over = False
        self._lifeline_beat_at = time.monotonic()
        self._beat_in_ms: int | None = 0
        self._ending_since = 0.0
        self._last_output = _LAST_OUTPUT
        self._done = False
        self.stopping = Stopping(self)
        self._verbs: Verbs | None = None

    @property
    def ending(self) -> bool:
        """True when the pod is not here any more and the last are being told."""
        return bool(self._ending_since)

    @property
    def over(self) -> bool:
        """True when there is nothing to end any more, or there never was."""
        return self.ending or self._done

    # -- birth

    def start(self) -> None:
        """Claim the name, open the socket, begin to make the pod. Raises with nothing left behind."""
        try:
            if self.job.images is not None or self.job.image is not None:
                from .keeper import Keeper

                self.keeper = Keeper.of_job(self)
            self.entry = entry = claim(self.job, self.engine)
            self.workers = Workers(entry.name)
            own_log = self.entry.file("supervisor.log")
            own_process.known_as(self.entry.name, own_log, self.job.own_log)
            self.control_socket = ControlSocket(
                entry.file("control.sock"),
                self._lost,
                self._before_clients,
                lambda: entry.again(self.meta),
            )
            own_process.watch_signals(lambda n: self.workers.post(lambda: self._heard(n)))
            self.making = Making(self.job, self.engine, kept.live_log(self.entry.path))
            if self.keeper is not None:
                self.making.leave_fd = self.keeper.leave_fd
            self.making.prepare()
        except BaseException:
            self._abandon()
            raise
        self.workers.run(
            self.making.work,
            self._made,
            self._not_made,
            self.making.doing,
            cancel=self.making.cancel,
        )

    def _made(self, results: Results) -> None:
        """The pod is whole: say so, and let go of what only it needed."""
        job, making = self.job, self.making
        assert making is not None and self.entry is not None
        try:
            self.pod = results["pod"]
            self.held = job.hold and making.image is not None
            self.pod_log = making.pod_log
            self.terminal = making.adopt_terminal(self.pod)
            self.meta = {
                "name": job.name,
                "instance": self.instance,
                "created": self.pod.created,
                "started": time.time(),
                "argv": job.argv or command_line(self.pod),
                "image": making.image,
                "stdio": "tty" if self.terminal else job.stdio,
                "supervisor": os.getpid(),
            }
            self.entry.write_meta(self.meta)
            making.close()
            if self.terminal is not None:
                from .attach import Viewers

                self.viewers = Viewers(self.terminal, self.control_socket)
            own_process.to_background(self.entry.file("supervisor.log"))
        except Exception as e:
            self._not_made(unforeseen("start the pod", e))
            return
        self.making = None
        start_thread(threading.Thread(target=self._wait_for_end, name="wait", daemon=True))
        if self._lifeline is not None:
            keys = ("name", "instance", "supervisor", "stdio")
            told = {key: self.meta[key] for key in keys} | {"notes": making.notes}
            starter.report(self._lifeline, ok=True, **told)
            if self._lifeline_over:
                self._lifeline_cut()
        if self.keeper is not None:
            self.keeper.begin()

    def _not_made(self, error: ZaptraceError) -> None:
        """Nothing is left of the pod: tell who asked for it, and be gone."""
        if error.changed is None:
            error.changed = "nothing is left of the pod"
        outcome = Outcome("discarded", instance=self.instance).to_dict()
        for request in self.waiting:
            if request.verb == "wait":
                self.control_socket.fail(request, error)
            else:
                self.control_socket.reply(request, outcome=outcome)
        self.control_socket.close()
        self._abandon()
        if self._lifeline is not None:
            starter.refuse(self._lifeline, error, again=bool(self.keeper and self.keeper.wanted))
        self._done = True

    def _abandon(self) -> None:
        if hasattr(self, "pod"):
            with contextlib.suppress(Exception):
                self.pod.close()
        if self.making is not None:
            self.making.close()
        if self.keeper is not None:
            self.keeper.let_go()
        if self.entry is not None:
            self.entry.release()

    # -- the loop

    def run(self) -> None:
        """Serve until the pod has ended and everybody was told."""
        while not self._done:
            poller = self.control_socket.poller()
            poller.add(self.workers.wake)
            if self.keeper is not None:
                poller.add(self.keeper.leave_fd)
            if self._lifeline is not None and not self._lifeline_over:
                poller.add(self._lifeline.fileno())
            if self.pod_log is not None and self.pod_log.source >= 0 and not self.ending:
                poller.add(self.pod_log.source)
            if self.terminal is not None and self.terminal.is_open() and not self.ending:
                read, write = self._may_read_terminal(), self._may_type()
                poller.add(self.terminal.master, read=read, write=write)
            ready = poller.wait(self._poll_ms())
            try:
                self._turn(ready)
            except Exception:
                log.exception("the coordinator goes on after an error")
            if not self._done:
                self._beat()
        if self.outcome is not None:
            log.info("ended: %s", self.outcome)
            self._leave()

    def _beat(self) -> None:
        """Show who waits for an answer that we are there; starters too."""
        due = self.control_socket.beat()
        self._beat_in_ms = None if due is None else int(due * 1000) + 1
        if self.making is not None and self._lifeline is not None:
            self._beat_in_ms = int(control.BEAT_S * 1000)
            if time.monotonic() - self._lifeline_beat_at >= control.BEAT_S:
                self._lifeline_beat_at = time.monotonic()
                starter.beat(self._lifeline)

    def _turn(self, ready: set[int]) -> None:
        self.workers.turn()
        if self._done:
            return
        if self._lifeline is not None and self._lifeline.fileno() in ready:
            self._lifeline_cut()
        if self.pod_log is not None and self.pod_log.source in ready:
            self.pod_log.pump()
        if self.terminal is not None and self.terminal.master in ready:
            if self._may_type():
                self.terminal.flush()
            if self._may_read_terminal():
                self.terminal.pump()
        for request in self.control_socket.requests():
            assert self._verbs is not None, "a client was let in"
            self._verbs.serve(request)
        if self.viewers is not None:
            self.viewers.feed()
        if self.keeper is not None:
            self.keeper.turn()
        if self.ending:
            self._try_to_finish()

    def _before_clients(self) -> None:
        """Load what answers them: most pods never see one."""
        from .. import plain  # noqa: F401
        from .verbs import Verbs

        self._verbs = Verbs(self)

    def _poll_ms(self) -> int | None:
        if self.ending:
            return 50
        if self.viewers is not None and (soon := self.viewers.soon_ms()) is not None:
            return soon
        watched = self.viewers is not None and bool(self.viewers.all)
        if self.terminal is not None and (self.terminal.hung_up_at or watched):
            return 250
        due = self.keeper.due_ms() if self.keeper is not None else None
        return min((ms for ms in (due, self._beat_in_ms) if ms is not None), default=None)

    def _may_read_terminal(self) -> bool:
        # The ring may not outrun a client that keeps up, nor the one that is about to attach.
        assert self.terminal is not None
        ring = self.terminal.ring
        if self._awaits_client() and ring.end - ring.carried_to >= ring.limit:
            return False
        return self.viewers is None or self.viewers.has_room()

    def _may_type(self) -> bool:
        # A capture may be looking at what is pending in the terminal.
        return bool(self.terminal and self.terminal.wants_to_write and not self.workers.busy)

    def _awaits_client(self) -> bool:
        # It attaches to the terminal. Without one it is told over the lifeline.
        return self._has_starter() and self.terminal is not None and not self.met_client

    def _has_starter(self) -> bool:
        lifeline = self._lifeline
        return self.job.foreground and lifeline is not None and not starter.hung_up(lifeline)

    def _lost(self, client: bytes) -> None:
        self.waiting = [r for r in self.waiting if r.client != client]
        if self._verbs is not None:
            self._verbs.lost(client)
        if self.viewers is not None:
            self.viewers.lost(client)

    def _lifeline_cut(self) -> None:
        assert self._lifeline is not None
        self._lifeline_over = True
        if self.making is not None:  # a starter that gave up may still want to hear what holds
            self.stopping.give_up_making("whoever asked for it is gone, or gave up")
            return
        if self._has_starter():  # it gave up too late, and is told the end all the same
            return
        self._lifeline.close()
        self._lifeline = None
        if self.held:
            log.warning("nobody is left to say go: the held pod is discarded")
            self.discard()

    # -- the end

    def last_resort(self) -> None:
        """Whatever hangs is in this process, and the kernel ends the pod with it."""
        log.error(
            "work on the pod that was cut short does not end: the pod ends with its supervisor"
        )
        self.outcome = Outcome(
            "failed",
            instance=self.instance,
            why="its supervisor hung and was ended by zaptrace stop",
        )
        self._leave(patience=0.0)
        os._exit(1)

    def discard(self) -> None:
        """As `kill`, of a pod that was not to be."""
        self._discarded = True
        self.stopping.kill("whoever could say go is gone, or does not want it")

    def end(self, outcome: Outcome) -> None:
        """The pod is not here any more; finish when everybody has seen the last of it."""
        if self.ending:
            return
        how = "discarded" if self._discarded else outcome.how
        outcome = outcome.but(how=how, instance=self.instance, left=0)
        self.outcome = self.keeper.ended(outcome) if self.keeper is not None else outcome
        self._ending_since = time.monotonic()
        if self.pod_log is not None:
            self._last_output += self.pod_log.capacity()
        if self.viewers is not None:
            self.viewers.knock()
        self._try_to_finish()

    def say(self, text: str) -> None:
        """Tell whoever started the pod, and stays with it."""
        if self._has_starter() and self.terminal is None and self._lifeline is not None:
            starter.report(self._lifeline, say=text)

    def _heard(self, number: int) -> None:
        if self.keeper is not None and self.keeper.takes(number) and not self.over:
            self.keeper.save(f"signal {number} to the supervisor")
        elif number in own_process.ENDING:
            self._asked_to_end()

    def _asked_to_end(self) -> None:
        log.info("asked to end by a signal")
        if self._record is not None:
            self._record.give_up()
        if not self.ending:
            try:
                self.stopping.stop(_GRACE_S, "a signal to the supervisor")
            except PodError as e:
                log.warning("%s", e)

    def _wait_for_end(self) -> None:
        try:
            status = self.pod.wait()
            if not self.pod.wait_empty(_SETTLE_S):
                left = len([p for p in self.pod.processes() if p.state != "Z"])
                self._post_when_free(lambda: self._root_ended(status, left))
                self.pod.wait_empty()
            self._post_when_free(lambda: self._root_ended(status, 0))
        except ZaptraceError as e:
            log.info("the pod is gone: %s", e.what)
        except Exception:
            log.exception("waiting for the pod")
        self.stopping.emptied()
        self._post_when_free(lambda: self.end(self.outcome or Outcome("exited")))

    def _post_when_free(self, event: Event) -> None:
        self.workers.post(lambda: self.workers.when_free(event))

    def _root_ended(self, status: int | None, left: int) -> None:
        if self.outcome is not None:
            return
        why = str(self.pod.failure or "")
        self.outcome = Outcome(
            "failed" if why else "exited",
            status,
            instance=self.instance,
            left=left,
            why=why,
            told=self.pod.told,
        )
        if left:
            log.info("the root process ended, %d processes live on", left)
            if self.terminal is not None:
                self.terminal.pump()
            self._tell()

    def _take_last_output(self) -> None:
        """Of the pod. Whoever else was given its log or its terminal may write for ever."""
        moved = 1
        while moved and self._last_output > 0:
            moved = self.pod_log.pump() if self.pod_log is not None else 0
            if self.terminal is not None and self._may_read_terminal():
                moved += self.terminal.pump()
            self._last_output -= moved

    def _try_to_finish(self) -> None:
        self._take_last_output()
        if self.terminal is not None and self.viewers is not None:
            self.viewers.feed()
            if not self.viewers.has_seen_all():
                return
        if not self._awaits_client() and self._recorded():
            self._done = True

    def _recorded(self) -> bool:
        """How it ended is written down. Where that cannot be we stay, and tell it until told to go."""
        record = self._end_record()
        if not record.settled():
            if any(request.verb in ("stop", "discard") for request in self.waiting):
                record.give_up()
            self._tell()
        return record.settled()

    def _end_record(self) -> EndRecord:
        assert self.outcome is not None and self.entry is not None
        if self._record is None:
            facts = self.outcome.to_dict() | {"name": self.job.name, "meta": self.meta}
            self._record = EndRecord(self.entry, facts)
        return self._record

    def _tell(self) -> None:
        """Answer those who wait for the end, with the outcome."""
        assert self.outcome is not None
        if self._has_starter() and self.terminal is None:
            assert self._lifeline is not None
            starter.report(self._lifeline, outcome=self.outcome.to_dict())
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self.control_socket.reply(request, outcome=self.outcome.to_dict())
        if self.viewers is not None:
            self.viewers.feed()
            self.viewers.end(self.outcome)

    def _leave(self, **patience: float) -> None:
        """Record how it ended, tell who waits, and leave nothing behind."""
        assert self.outcome is not None and self.entry is not None
        with contextlib.suppress(Exception):
            self.pod.close(**patience)
        # The record first: who asks from now on finds it, who asked before is answered.
        self._end_record().give_up()
        self._tell()
        if self._verbs is not None:
            self._verbs.over(self.outcome)
        if self.terminal is not None:
            self.terminal.close()
        self.control_socket.close()
        self.entry.release()  # only now do we look dead


def main(engine: Engine | None = None) -> None:
    """Become the supervisor that a starter asked for (see starter.py). Does not return."""
    if os.fork():
        os._exit(0)
    lifeline = socket.socket(fileno=int(sys.argv[2]))
    lifeline.set_inheritable(False)
    engine = engine or Engine()
    try:
        if sys.argv[3] == "warm":
            engine.warm()
        job = starter.receive_job(lifeline)
        if job is None:
            os._exit(0)
        supervisor = Supervisor(job, lifeline, engine)
        supervisor.start()
    except BaseException as e:
        if not isinstance(e, ZaptraceError):
            e = unforeseen("start the pod", e, changed="nothing is left of the pod")
        starter.refuse(lifeline, e)
        os._exit(1)
    supervisor.run()
    os._exit(0)

"""The supervisor: one process per pod, which owns it and answers for it.

    coordinator (main thread)   the control socket, the terminal or the log, signals, the end
    wait thread                 sits in pod.wait and reports the end
    worker threads              one per verb under way; they call the pod, never the socket
    tracer thread               inside Pod

Only the coordinator touches the socket and this object's state; see workers.py for how the others
reach it, verbs.py for what clients may ask, attach.py for who is attached.

Nothing that a client does ends the pod unless it is a verb for that: clients may die, stall, or
send rubbish. If this process dies, the kernel kills the pod with it (PTRACE_O_EXITKILL).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HostError, PodError, ZaptraceError
from ..log import log, unforeseen
from . import own_process, runtime, starter
from .attach import Viewers
from .control import Outcome
from .control_socket import ControlSocket, Request
from .engine import Engine
from .logs import PodLog
from .starter import Held, Job, spawn_restored
from .terminal import Terminal, make_pty
from .verbs import Verbs
from .workers import Event, Workers

if TYPE_CHECKING:
    from ..pod.pod import Pod

__all__ = ["Engine", "Held", "Supervisor", "main", "spawn_restored"]

_SETTLE_S = 0.05
"""How long processes may take to follow their root before we say that they live on."""
_GRACE_S = 10.0
_LAST_RESORT_S = 15.0
"""After this long, work that was cut short has still not ended: so we do, and the pod with us."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Supervisor:
    """The coordinator of one pod."""

    def __init__(self, job: Job, lifeline: socket.socket, engine: Engine) -> None:
        self.job = job
        self.engine = engine
        self.instance = uuid.uuid4().hex
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
        self._lifeline: socket.socket | None = lifeline
        self._empty = threading.Event()
        self._ending_since = 0.0
        self._done = False
        self._verbs = Verbs(self)

    @property
    def ending(self) -> bool:
        """True when the pod is not here any more and the last are being told."""
        return bool(self._ending_since)

    # -- birth

    def start(self) -> None:
        """Claim the name, open the socket, make the pod. Raises with nothing left behind."""
        try:
            self.entry = self._claim(Path(self.job.root))
            self.workers = Workers(self.entry.name)
            own_process.log_to(self.entry.path / "supervisor.log")
            self.control_socket = ControlSocket(self.entry.path / "control.sock", self._lost)
            with own_process.ended_by(_SIGNALS):
                self._make_pod()
        except BaseException:
            self._abandon()
            raise
        if self.terminal is not None:
            self.viewers = Viewers(self.terminal, self.control_socket)
        self._watch_signals()
        own_process.to_background(self.entry.path / "supervisor.log")
        threading.Thread(target=self._wait_for_end, name="wait", daemon=True).start()

    def _claim(self, base: Path) -> runtime.PodDir:
        job = self.job
        if job.name is not None:
            return runtime.claim(job.name, base)
        wanted = job.argv[0] if job.argv else self.engine.image_pod(str(job.image)).get("name")
        entry = runtime.claim_free(wanted or "pod", base)
        job.name = entry.name
        return entry

    def _make_pod(self) -> None:
        job = self.job
        make = self.engine.launch if job.verb == "launch" else self.engine.restore
        with self._stdio() as (stdio, master), own_process.default_sigpipe():
            self.pod = make(job, stdio, master)
            self._adopt_terminal(master)
        if job.verb == "restore":
            self.held = job.hold
            if not job.hold:
                self.pod.thaw()
        self.meta = {
            "name": job.name,
            "instance": self.instance,
            "created": self.pod.created,
            "started": time.time(),
            "argv": job.argv or self._command_line(),
            "image": job.image,
            "stdio": "tty" if self.terminal else job.stdio,
            "supervisor": os.getpid(),
        }
        assert self.entry is not None
        self.entry.write_meta(self.meta)

    @contextlib.contextmanager
    def _stdio(self) -> Iterator[tuple[tuple[int, int, int], int | None]]:
        """What becomes the pod's 0, 1 and 2, and the master of the pty that they are, if any."""
        assert self.entry is not None
        if self.job.stdio == "tty":
            master, slave = make_pty(self.job.rows, self.job.cols, self.job.termios)
            try:
                yield (slave, slave, slave), master
            finally:
                os.close(slave)
        elif self.job.stdio == "log":
            self.pod_log = PodLog(self.entry.path / "log")
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            try:
                yield (nothing, self.pod_log.pod_end, self.pod_log.pod_end), None
            finally:
                os.close(nothing)
                self.pod_log.given()
        else:
            yield (0, 1, 2), None

    def _adopt_terminal(self, ours: int | None) -> None:
        # A restored pod may bring the pty that it had; then the one made for its slots is unused.
        master = self.pod.tty_master
        if master is None:
            master = ours
        elif ours is not None and master != ours:
            os.close(ours)
        if master is not None:
            self.terminal = Terminal(master)
            if self.job.stdio == "tty":
                self.terminal.resize(self.job.rows, self.job.cols)

    def _command_line(self) -> list[str]:
        """That of the oldest process of a restored pod."""
        with contextlib.suppress(OSError, IndexError):
            rpid = self.pod.processes()[0].rpid
            words = Path(f"/proc/{rpid}/cmdline").read_bytes().split(b"\0")
            return [os.fsdecode(word) for word in words[:-1]]
        return []

    def _watch_signals(self) -> None:
        # Only now, so that the pod inherited what our starter ignores (nohup, background jobs).
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: self.workers.post(self._asked_to_end))

    def _abandon(self) -> None:
        if hasattr(self, "pod"):
            with contextlib.suppress(Exception):
                self.pod.close()
        if self.entry is not None:
            self.entry.release()

    # -- the loop

    def run(self) -> None:
        """Serve until the pod has ended and everybody was told."""
        import zmq

        while not self._done:
            poller = zmq.Poller()
            poller.register(self.control_socket.socket, zmq.POLLIN)
            poller.register(self.workers.wake, zmq.POLLIN)
            if self._lifeline is not None:
                poller.register(self._lifeline.fileno(), zmq.POLLIN)
            if self.pod_log is not None and self.pod_log.source >= 0:
                poller.register(self.pod_log.source, zmq.POLLIN)
            if self.terminal is not None and self.terminal.is_open():
                interest = zmq.POLLIN if self._may_read_terminal() else 0
                interest |= zmq.POLLOUT if self._may_type() else 0
                if interest:
                    poller.register(self.terminal.master, interest)
            ready = dict(poller.poll(self._poll_ms()))
            try:
                self._turn(ready)
            except Exception:
                log.exception("the coordinator goes on after an error")
        self._close()

    def _turn(self, ready: dict[Any, int]) -> None:
        self.workers.turn()
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
            self._verbs.serve(request)
        if self.viewers is not None:
            self.viewers.feed()
        if self.ending:
            self._try_to_finish()

    def _poll_ms(self) -> int | None:
        if self.ending:
            return 50
        if self.terminal is not None and (self.terminal.hung_up_at or self._watched()):
            return 250
        return None

    def _watched(self) -> bool:
        return self.viewers is not None and bool(self.viewers.all)

    def _may_read_terminal(self) -> bool:
        # The ring may not outrun a client that keeps up, nor the one that is about to attach.
        assert self.terminal is not None
        ring = self.terminal.ring
        if self._awaits_client() and ring.end >= ring.limit:
            return False
        return self.viewers is None or self.viewers.has_room()

    def _may_type(self) -> bool:
        # A capture may be looking at what is pending in the terminal.
        return bool(self.terminal and self.terminal.wants_to_write and not self.workers.busy)

    def _awaits_client(self) -> bool:
        return self.job.foreground and not self.met_client and self._lifeline is not None

    def _lost(self, client: bytes) -> None:
        self.waiting = [r for r in self.waiting if r.client != client]
        if self.viewers is not None:
            self.viewers.lost(client)

    def _lifeline_cut(self) -> None:
        assert self._lifeline is not None
        self._lifeline.close()
        self._lifeline = None
        if self.held:
            log.warning("nobody is left to say go: the held pod is discarded")
            self.discard()

    # -- the end

    def stop(self, grace: float) -> None:
        """SIGTERM to every process, and SIGKILL to those that are left after `grace` seconds.

        Exclusive work that is under way has as long to end, and is cut short then.
        """
        self._cut_short_after(grace)
        self.workers.when_free(lambda: None if self.ending else self._stop(grace))

    def _stop(self, grace: float) -> None:
        def work() -> None:
            self._signal_everyone(signal.SIGTERM)
            self.pod.thaw()
            self._signal_everyone(signal.SIGCONT)
            if not self._empty.wait(grace):
                self.pod.kill()

        self.held = False
        self.workers.run(work, failed=self._cannot_end, doing="stop")

    def kill(self) -> None:
        """SIGKILL to every process; exclusive work that is under way is cut short."""
        self._cut_short_after(0)
        self.held = False
        self.workers.run(self.pod.kill, failed=self._cannot_end, doing="kill")

    def _cut_short_after(self, grace: float) -> None:
        """Stopping always works: what is under way has `grace` seconds."""
        if self.workers.busy is None:
            return

        def work() -> None:
            if self.workers.free.wait(grace):
                return
            log.warning("work on the pod is cut short")
            self.pod.cut()
            if not self.workers.free.wait(_LAST_RESORT_S):
                self.workers.post(self._last_resort)

        self.workers.run(work, doing="cut short the work on")

    def _last_resort(self) -> None:
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

    def _cannot_end(self, error: ZaptraceError) -> None:
        log.error("%s", error)
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self.control_socket.fail(request, error)

    def discard(self) -> None:
        """As `kill`, of a pod that was not to be."""
        self._discarded = True
        self.kill()

    def end(self, outcome: Outcome) -> None:
        """The pod is not here any more; finish when everybody has seen the last of it."""
        if self.ending:
            return
        how = "discarded" if self._discarded else outcome.how
        self.outcome = replace(outcome, how=how, instance=self.instance, left=0)
        self._ending_since = time.monotonic()
        if self.viewers is not None:
            self.viewers.knock()
        self._try_to_finish()

    def _signal_everyone(self, number: int) -> None:
        for process in self.pod.processes():
            with contextlib.suppress(ZaptraceError, ProcessLookupError):
                self.pod.signal(number, process.vpid)

    def _asked_to_end(self) -> None:
        log.info("asked to end by a signal")

        if not self.ending:
            self.stop(_GRACE_S)

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
        self._empty.set()
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

    def _try_to_finish(self) -> None:
        while self.pod_log is not None and self.pod_log.pump():
            pass
        if self.terminal is not None and self.viewers is not None:
            while self._may_read_terminal() and self.terminal.pump():
                pass
            self.viewers.feed()
            if not self.viewers.has_seen_all():
                return
        if not self._awaits_client():
            self._done = True

    def _tell(self) -> None:
        """Answer those who wait for the end, with the outcome."""
        assert self.outcome is not None
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self.control_socket.reply(request, outcome=self.outcome.to_dict())
        if self.viewers is not None:
            self.viewers.feed()
            self.viewers.end(self.outcome)

    def _close(self) -> None:
        """Record how it ended, tell who waits, and leave nothing behind."""
        log.info("ended: %s", self.outcome)
        self._leave()

    def _leave(self, **patience: float) -> None:
        assert self.outcome is not None and self.entry is not None
        with contextlib.suppress(Exception):
            self.pod.close(**patience)
        # The record first: who asks from now on finds it, who asked before is answered.
        self.entry.record_end(self.outcome.to_dict() | {"name": self.job.name, "meta": self.meta})
        self._tell()
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
    except own_process.AskedToEnd:
        error = PodError("the pod was ended by a signal to its supervisor before it was whole")
        starter.report(lifeline, ok=False, error=error.to_dict(), exit=125)
        os._exit(1)
    except ZaptraceError as e:
        status = getattr(e, "status", 125) if isinstance(e, HostError) else 125
        starter.report(lifeline, ok=False, error=e.to_dict(), exit=status)
        os._exit(1)
    except BaseException as e:
        fault = unforeseen("start the pod", e, changed="nothing is left of the pod")
        starter.report(lifeline, ok=False, error=fault.to_dict(), exit=125)
        os._exit(1)
    starter.report(
        lifeline, ok=True, name=supervisor.job.name, instance=supervisor.instance, pid=os.getpid()
    )
    supervisor.run()
    os._exit(0)

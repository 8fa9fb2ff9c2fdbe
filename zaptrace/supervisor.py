"""The supervisor: one process per pod, which owns it and answers for it.

    coordinator (main thread)   the control socket, the terminal or the log, signals, the end
    wait thread                 sits in pod.wait and reports the end
    worker threads              one per verb under way; they call the pod, never the socket
    tracer thread               inside Pod

Only the coordinator touches the socket and this object's state. Workers hand it closures through
`_post`, which wakes it. At most one *exclusive* verb (freeze, thaw, checkpoint, migrate) runs at a
time; a second one is told what is going on. A pod that ends while an exclusive verb is under way
waits for it, because a verb that takes the pod away (migrate, checkpoint --stop) knows better why.

Nothing that a client does ends the pod unless it is a verb for that: clients may die, stall, or
send rubbish. If this process dies, the kernel kills the pod with it (PTRACE_O_EXITKILL).
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import control, runtime, starter
from .control import Outcome
from .errors import HostError, PodError, WireError, ZaptraceError
from .log import log
from .starter import Held, Job, spawn_restored
from .terminal import Ring, Terminal, Viewer, make_pty

__all__ = ["Engine", "Held", "Supervisor", "main", "spawn_restored"]

_ENDING_S = 5.0
"""How long the end of a pod waits for attached clients to see the last of its output."""
_PROGRESS_S = 0.05
_SETTLE_S = 0.05
"""How long processes may take to follow their root before we say that they live on."""
_HUNG_UP_S = 0.25
_CHUNK = 32 * 1024
Progress = Callable[[dict[str, Any]], None]
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Engine:
    """What a supervisor does with a pod; the tests put another one in its place."""

    def launch(self, job: Job, stdio: tuple[int, int, int], master: int | None) -> Any:
        """A running pod of `job.argv`; `master` is that of the pty that `stdio` is."""
        from .pod import Pod, Stdio

        return Pod.launch(
            job.argv,
            name=job.name or "",
            cwd=job.cwd,
            env=job.env,
            stdio=Stdio(*stdio, tty=master is not None, master=master),
        )

    def restore(self, job: Job, stdio: tuple[int, int, int], master: int | None) -> Any:
        """The pod of `job.image`, whole but still frozen."""
        from .image import Image
        from .pod import Stdio
        from .restore import restore

        with Image.open(str(job.image)) as image:
            slots = Stdio(*stdio, tty=master is not None, master=master)
            return restore(image, name=job.name, stdio=slots, hold=True)

    def image_pod(self, path: str) -> dict[str, Any]:
        """What the manifest of an image says about its pod."""
        from .image import read_manifest

        return dict(read_manifest(path).get("pod") or {})

    def checkpoint(
        self, pod: Any, to: str, then: Any, codec: str | None, progress: Progress
    ) -> dict[str, Any]:
        """Write an image of `pod` to the path `to`; the report as a plain map."""
        from .checkpoint import checkpoint
        from .sink import DirectorySink

        def step(room: str, done: int) -> None:
            progress({"step": room, "done": done})

        return _plain(checkpoint(pod, DirectorySink(to, codec=codec), then=then, progress=step))

    def attempt(self, pod: Any) -> dict[str, Any]:
        """A checkpoint of `pod` that is thrown away."""
        from .checkpoint import checkpoint
        from .sink import DirectorySink

        with tempfile.TemporaryDirectory(prefix="zaptrace-try-") as directory:
            return _plain(checkpoint(pod, DirectorySink(f"{directory}/image"), then="resume"))

    def migrate(
        self, pod: Any, to: str, options: dict[str, Any], progress: Progress
    ) -> dict[str, Any]:
        """Hand `pod` over to the host server at `to`; on return it is not here any more."""
        from . import migrate, suitability

        facts = suitability.facts_of(pod)
        known = {k: v for k, v in options.items() if k in ("config", "key", "name", "codec")}
        return _plain(migrate.send(pod, to, facts=facts, progress=progress, **known))


@dataclass
class Request:
    """A verb that a client asked for."""

    client: bytes
    id: int
    verb: str
    args: dict[str, Any]


class Supervisor:
    """The coordinator of one pod."""

    def __init__(self, job: Job, lifeline: socket.socket, engine: Engine) -> None:
        self.job = job
        self.engine = engine
        self.instance = uuid.uuid4().hex
        self.pod: Any = None
        self.entry: runtime.PodDir | None = None
        self.terminal: Terminal | None = None
        self.meta: dict[str, Any] = {}
        self.outcome: Outcome | None = None
        self._lifeline: socket.socket | None = lifeline
        self._log_from = self._log_to = -1
        self._recent = Ring(64 * 1024)
        self._events: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._waiting: list[Request] = []
        self._viewers: list[Viewer] = []
        self._busy: str | None = None
        self._held = False
        self._discarded = False
        self._met_client = False
        self._when_free: list[Callable[[], None]] = []
        self._empty = threading.Event()
        self._ending_since = 0.0
        self._done = False

    # ------------------------------------------------------------------ birth

    def start(self) -> None:
        """Claim the name, open the socket, make the pod. Raises with nothing left behind."""
        base = Path(self.job.root)
        try:
            self._claim(base)
            self._open_log()
            self._bind()
            self._make_pod()
        except BaseException:
            self._abandon()
            raise
        self._watch_signals()
        self._to_background()
        threading.Thread(target=self._wait_for_end, name="wait", daemon=True).start()

    def _claim(self, base: Path) -> None:
        job = self.job
        if job.name is not None:
            self.entry = runtime.claim(job.name, base)
            return
        wanted = job.argv[0] if job.argv else self.engine.image_pod(str(job.image)).get("name")
        while self.entry is None:
            # Between finding a free name and claiming it another supervisor may be faster.
            job.name = runtime.free_name(wanted or "pod", base)
            with contextlib.suppress(PodError):
                self.entry = runtime.claim(job.name, base)

    def _open_log(self) -> None:
        assert self.entry is not None
        handler = logging.FileHandler(self.entry.path / "supervisor.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(os.environ.get("ZAPTRACE_LOG", "INFO").upper())

    def _bind(self) -> None:
        import zmq

        assert self.entry is not None
        self._zmq = zmq
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a client that left is an error we see
        self._socket.setsockopt(zmq.SNDHWM, 0)  # bounded by WINDOW per client instead
        self._socket.setsockopt(zmq.MAXMSGSIZE, control.MESSAGE_MAX)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.bind(f"ipc://{self.entry.path}/control.sock")

    def _make_pod(self) -> None:
        job, opened = self.job, []
        master = -1
        try:
            if job.stdio == "tty":
                master, slave = make_pty(job.rows, job.cols, job.termios)
                opened = [slave]
                stdio = (slave, slave, slave)
            elif job.stdio == "log":
                stdio = self._make_log_pipe()
                opened = list(stdio[:2])
            else:
                stdio = (0, 1, 2)
            make = self.engine.launch if job.verb == "launch" else self.engine.restore
            with _default_sigpipe():
                self.pod = make(job, stdio, master if master >= 0 else None)
        except BaseException:
            if master >= 0:
                os.close(master)
            raise
        finally:
            for fd in opened:
                os.close(fd)
        self._adopt_terminal(master)
        if job.verb == "restore":
            self._held = job.hold
            if not job.hold:
                self.pod.thaw()
        self.meta = {
            "name": job.name,
            "instance": self.instance,
            "created": getattr(self.pod, "created", time.time()),
            "started": time.time(),
            "argv": job.argv or self._command_line(),
            "image": job.image,
            "stdio": "tty" if self.terminal else job.stdio,
            "supervisor": os.getpid(),
        }
        assert self.entry is not None
        self.entry.write_meta(self.meta)

    def _command_line(self) -> list[str]:
        """That of the oldest process of a restored pod."""
        with contextlib.suppress(OSError, IndexError):
            rpid = self.pod.processes()[0].rpid
            words = Path(f"/proc/{rpid}/cmdline").read_bytes().split(b"\0")
            return [os.fsdecode(word) for word in words[:-1]]
        return []

    def _adopt_terminal(self, ours: int) -> None:
        # A restored pod may bring the pty that it had; then the one made for its slots is unused.
        theirs = getattr(self.pod, "tty_master", None)
        if theirs is not None and theirs != ours:
            if ours >= 0:
                os.close(ours)
            ours = theirs
        if ours >= 0:
            self.terminal = Terminal(ours)
            if self.job.stdio == "tty":
                self.terminal.resize(self.job.rows, self.job.cols)

    def _make_log_pipe(self) -> tuple[int, int, int]:
        # A pipe and not the file itself: the file's path belongs to this host and this name, while
        # a pipe at the edge of the pod is a stdio slot, which any host can fill again.
        assert self.entry is not None
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._log_from, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._log_from, False)
        self._log_to = os.open(
            self.entry.path / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        return nothing, writing, writing

    def _to_background(self) -> None:
        # The pod has its stdio; were we to keep a copy, readers of its output would see no EOF.
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        assert self.entry is not None
        own = os.open(
            self.entry.path / "supervisor.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
        )
        os.dup2(nothing, 0)
        os.dup2(own, 1)
        os.dup2(own, 2)
        for fd in (nothing, own):
            if fd > 2:
                os.close(fd)

    def _watch_signals(self) -> None:
        # Only now, so that the pod inherited what our starter ignores (nohup, background jobs).
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: self._post(self._asked_to_end))

    def _abandon(self) -> None:
        if self.pod is not None:
            with contextlib.suppress(Exception):
                self.pod.kill()
                self.pod.close()
        if hasattr(self, "_socket"):
            self._socket.close(0)
            self._context.term()
        if self.entry is not None:
            self.entry.release()

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Serve until the pod has ended and everybody was told."""
        zmq = self._zmq
        while not self._done:
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._wake, zmq.POLLIN)
            if self._lifeline is not None:
                poller.register(self._lifeline.fileno(), zmq.POLLIN)
            if self._log_from >= 0:
                poller.register(self._log_from, zmq.POLLIN)
            if (interest := self._terminal_interest()) and self.terminal is not None:
                poller.register(self.terminal.master, interest)
            ready = dict(poller.poll(self._poll_ms()))
            try:
                self._turn(ready)
            except Exception:
                log.exception("the coordinator goes on after an error")
        self._close()

    def _turn(self, ready: dict[Any, int]) -> None:
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            event()
        if self._lifeline is not None and self._lifeline.fileno() in ready:
            self._lifeline_cut()
        if self._log_from in ready:
            self._pump_log()
        if self.terminal is not None and self.terminal.master in ready:
            if self.terminal.wants_to_write and not self._busy:
                self.terminal.flush()
            if self._may_read_terminal():
                self.terminal.pump()
        for _ in range(64):  # then the others get a turn
            try:
                client, *rest = self._socket.recv_multipart(self._zmq.NOBLOCK)
            except self._zmq.Again:
                break
            if rest:
                self._receive(client, rest[-1])
        for viewer in list(self._viewers):
            self._feed(viewer)
        if self._ending_since:
            self._try_to_finish()

    def _poll_ms(self) -> int | None:
        if self._ending_since:
            return 50
        if self.terminal is not None and (self._viewers or self.terminal.hung_up_at):
            return 250
        return None

    def _terminal_interest(self) -> int:
        terminal = self.terminal
        if terminal is None:
            return 0
        if time.monotonic() - terminal.hung_up_at < _HUNG_UP_S:
            return 0  # a hung-up master is always "ready"
        interest = 0
        if self._may_read_terminal():
            interest |= self._zmq.POLLIN
        if terminal.wants_to_write and not self._busy:
            interest |= self._zmq.POLLOUT
        return interest

    def _may_read_terminal(self) -> bool:
        # The ring may not outrun a client that keeps up, nor the one that is about to attach.
        assert self.terminal is not None
        ring = self.terminal.ring
        if self._awaits_client() and ring.end >= ring.limit:
            return False
        return not any(
            ring.end - viewer.acked > ring.limit // 2 and not viewer.stalled()
            for viewer in self._viewers
        )

    def _awaits_client(self) -> bool:
        return self.job.foreground and not self._met_client and self._lifeline is not None

    def _post(self, event: Callable[[], object]) -> None:
        self._events.put(event)
        os.eventfd_write(self._wake, 1)

    def _lifeline_cut(self) -> None:
        assert self._lifeline is not None
        self._lifeline.close()
        self._lifeline = None
        if self._held:
            log.warning("nobody is left to say go: the held pod is discarded")
            self._discard(None)

    # ------------------------------------------------------------------ messages

    def _receive(self, client: bytes, frame: bytes) -> None:
        try:
            message = control.unpack(frame)
        except WireError as e:
            log.warning("ignored a message: %s", e.what)
            self._send(client, {"id": 0, "ok": False, "error": e.to_plain()})
            return
        number = message.get("id")
        number = number if isinstance(number, int) else 0
        request = Request(client, number, str(message.get("verb")), message)
        handler = getattr(self, f"_verb_{request.verb}", None)
        try:
            if handler is None:
                raise PodError(
                    f"the supervisor knows no verb {request.verb!r}",
                    do="use the same zaptrace for the client and for the pod",
                    changed="nothing",
                )
            handler(request)
        except ZaptraceError as e:
            self._fail(request, e)
        except (TypeError, ValueError, KeyError) as e:
            self._fail(request, PodError(f"bad arguments for {request.verb!r}", found=repr(e)))

    def _send(self, client: bytes, message: dict[str, Any]) -> bool:
        try:
            self._socket.send_multipart([client, control.pack(message)], self._zmq.NOBLOCK)
        except self._zmq.ZMQError:  # it went away; its pod does not mind
            self._viewers = [v for v in self._viewers if v.client != client]
            self._waiting = [r for r in self._waiting if r.client != client]
            return False
        return True

    def _reply(self, request: Request, **results: Any) -> None:
        self._send(request.client, {"id": request.id, "ok": True, **results})

    def _fail(self, request: Request, error: ZaptraceError) -> None:
        self._send(request.client, {"id": request.id, "ok": False, "error": error.to_plain()})

    def _work(
        self,
        request: Request | None,
        fn: Callable[[], dict[str, Any]],
        then: Callable[[dict[str, Any]], None] | None = None,
        exclusive: str | None = None,
    ) -> None:
        """Run `fn` in a thread; then `then` here, or else a reply with what `fn` returned."""
        if exclusive is not None:
            self._check_free(exclusive)
            self._busy = exclusive

        def finished(result: dict[str, Any] | None, error: ZaptraceError | None) -> None:
            if exclusive is not None:
                self._busy = None
            if error is not None:
                if request is not None:
                    self._fail(request, error)
            elif then is not None:
                then(result or {})
            elif request is not None:
                self._reply(request, **(result or {}))
            while self._busy is None and self._when_free:
                self._when_free.pop(0)()

        def worker() -> None:
            result: dict[str, Any] | None = None
            error: ZaptraceError | None = None
            try:
                result = fn()
            except ZaptraceError as e:
                error = e
            except Exception as e:
                log.exception("verb %s", request.verb if request else exclusive)
                error = PodError(
                    f"zaptrace failed: {type(e).__name__}: {e}",
                    do=f"this is a bug; the traceback is in the log of supervisor {os.getpid()}",
                )
            self._post(lambda: finished(result, error))

        name = request.verb if request else exclusive
        threading.Thread(target=worker, name=name, daemon=True).start()

    def _check_free(self, verb: str) -> None:
        if self.outcome is not None:
            raise PodError(f"pod {self.job.name!r} has ended", changed="nothing")
        if self._busy is not None:
            raise PodError(
                f"cannot {verb} pod {self.job.name!r} now",
                needed="no other work on the pod",
                found=f"a {self._busy} is under way",
                do="try again when it is done",
                changed="nothing",
            )

    # ------------------------------------------------------------------ verbs

    def _verb_status(self, request: Request) -> None:
        facts = {
            "name": self.job.name,
            "state": self._state(),
            "meta": self.meta,
            "attached": len(self._viewers),
        }
        if not request.args.get("processes"):
            self._reply(request, **facts)
            return
        self._work(
            request, lambda: facts | {"processes": [_plain(p) for p in self.pod.processes()]}
        )

    def _state(self) -> str:
        if self.outcome is not None and not self.outcome.left:
            return "ended"
        if self._busy is not None:
            return {"checkpoint": "checkpointing", "migrate": "migrating"}.get(
                self._busy, self._busy
            )
        if self._held:
            return "held"
        return "frozen" if getattr(self.pod, "frozen", False) else "running"

    def _verb_wait(self, request: Request) -> None:
        self._met_client = True
        if self.outcome is not None and not self._ending_since:
            self._reply(request, outcome=self.outcome.to_plain())
        else:
            self._waiting.append(request)

    def _verb_attach(self, request: Request) -> None:
        if self.terminal is None:
            raise PodError(
                f"cannot attach to pod {self.job.name!r}: it has no terminal",
                needed="a pod that was started from a terminal, without -d",
                found=f"its stdio is {self.meta.get('stdio')}",
                do=f"zaptrace logs -f {self.job.name} shows the output of a detached pod",
                changed="nothing",
            )
        self._met_client = True
        rows, cols = int(request.args.get("rows") or 0), int(request.args.get("cols") or 0)
        tail = int(request.args.get("tail") or 0)
        ring = self.terminal.ring
        at = ring.tail(tail) if tail else ring.end
        self._viewers.append(Viewer(request.client, request.id, at, at))
        self.terminal.resize(rows, cols)

    def _verb_input(self, request: Request) -> None:
        data = request.args.get("data")
        if self.terminal is not None and isinstance(data, bytes):
            self.terminal.type(data)

    def _verb_resize(self, request: Request) -> None:
        if self.terminal is not None:
            self.terminal.resize(int(request.args["rows"]), int(request.args["cols"]))

    def _verb_ack(self, request: Request) -> None:
        for viewer in self._viewers:
            if (viewer.client, viewer.request) == (request.client, request.id):
                viewer.ack(int(request.args["at"]))

    def _verb_detach(self, request: Request) -> None:
        for viewer in [v for v in self._viewers if v.client == request.client]:
            self._viewers.remove(viewer)
            self._send(viewer.client, {"id": viewer.request, "ok": True, "detached": True})

    def _verb_scrollback(self, request: Request) -> None:
        ring = self.terminal.ring if self.terminal is not None else self._recent
        at, data = ring.read(ring.start, ring.limit)
        self._reply(request, data=data, at=at, tty=self.terminal is not None)

    def _verb_freeze(self, request: Request) -> None:
        def work() -> dict[str, Any]:
            self.pod.freeze()
            return {"frozen": True}

        self._work(request, work, exclusive="freeze")

    def _verb_thaw(self, request: Request) -> None:
        def work() -> dict[str, Any]:
            self.pod.thaw()
            return {"frozen": False}

        def then(result: dict[str, Any]) -> None:
            self._held = False
            self._reply(request, **result)

        self._work(request, work, then, exclusive="thaw")

    def _verb_signal(self, request: Request) -> None:
        number = int(request.args["signal"])
        vpid, group = request.args.get("vpid"), bool(request.args.get("group"))

        def work() -> dict[str, Any]:
            if group:
                self._signal_group(number)
            else:
                self.pod.signal(number, vpid)
            return {}

        self._work(request, work)

    def _signal_group(self, number: int) -> None:
        """To the process group of the root process, as the terminal driver would do it."""
        members = self.pod.processes()
        root = next((p for p in members if p.state != "Z"), None)
        if root is None:
            return
        group = _group_of(root.rpid)
        for process in members:
            if process is root or _group_of(process.rpid) == group:
                with contextlib.suppress(ZaptraceError, ProcessLookupError):
                    self.pod.signal(number, process.vpid)

    def _verb_stop(self, request: Request) -> None:
        grace = float(request.args.get("grace", 10.0))
        self._check_free("stop")
        self._waiting.append(request)
        if request.args.get("kill"):
            self._kill()
        else:
            self._stop(grace)

    def _verb_discard(self, request: Request) -> None:
        self._discard(request)

    def _verb_checkpoint(self, request: Request) -> None:
        to, then = str(request.args["to"]), request.args.get("then", "resume")
        codec = request.args.get("codec")
        if then not in ("resume", "stop"):
            raise PodError("bad arguments for 'checkpoint'", needed="then: resume or stop")

        def done(report: dict[str, Any]) -> None:
            self._reply(request, report=report)
            if then == "stop":
                self._end(Outcome("checkpointed", to=to))

        self._work(
            request,
            lambda: self.engine.checkpoint(self.pod, to, then, codec, self._progress(request)),
            done,
            exclusive="checkpoint",
        )

    def _verb_try(self, request: Request) -> None:
        self._work(
            request, lambda: {"report": self.engine.attempt(self.pod)}, exclusive="checkpoint"
        )

    def _verb_migrate(self, request: Request) -> None:
        to, options = str(request.args["to"]), request.args.get("options") or {}

        def done(report: dict[str, Any]) -> None:
            self._reply(request, report=report)
            self._end(Outcome("migrated", to=to))

        self._work(
            request,
            lambda: self.engine.migrate(self.pod, to, options, self._progress(request)),
            done,
            exclusive="migrate",
        )

    def _progress(self, request: Request) -> Progress:
        last = 0.0

        def progress(facts: dict[str, Any]) -> None:
            nonlocal last
            if time.monotonic() - last < _PROGRESS_S:
                return
            last = time.monotonic()
            message = {"id": request.id, "progress": facts}
            self._post(lambda: self._send(request.client, message))

        return progress

    # ------------------------------------------------------------------ the terminal and the log

    def _feed(self, viewer: Viewer) -> None:
        assert self.terminal is not None
        ring = self.terminal.ring
        while viewer in self._viewers and viewer.at < ring.end:
            if viewer.at - viewer.acked >= control.WINDOW:
                return
            at, data = ring.read(viewer.at, _CHUNK)
            skipped = at - viewer.at
            viewer.at = at + len(data)
            if viewer.acked < at - control.WINDOW:
                viewer.acked = at
            message = {"id": viewer.request, "stream": data, "at": at, "skipped": skipped}
            self._send(viewer.client, message)

    def _pump_log(self) -> bool:
        """Move what a detached pod wrote to its log; False when there is no more now."""
        if self._log_from < 0:
            return False
        try:
            data = os.read(self._log_from, 65536)
        except BlockingIOError:
            return False
        if not data:  # the last writer has closed it
            os.close(self._log_from)
            self._log_from = -1
            return False
        self._recent.append(data)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._log_to, view) :]
        except OSError as e:  # a full disk must not end the pod
            log.error("the log cannot be written: %s", e)
        return True

    # ------------------------------------------------------------------ the end

    def _wait_for_end(self) -> None:
        try:
            status = self.pod.wait()
            if not self.pod.wait_empty(_SETTLE_S):
                left = len([p for p in self.pod.processes() if p.state != "Z"])
                self._post(lambda: self._root_ended(status, left))
                self.pod.wait_empty()
            self._post(lambda: self._root_ended(status, 0))
        except ZaptraceError as e:
            log.info("the pod is gone: %s", e.what)
        except Exception:
            log.exception("waiting for the pod")
        self._empty.set()
        self._post(self._pod_empty)

    def _root_ended(self, status: int | None, left: int) -> None:
        if self._busy is not None:
            self._when_free.append(lambda: self._root_ended(status, left))
            return
        if self.outcome is not None:
            return
        self.outcome = Outcome("exited", status, instance=self.instance, left=left)
        if left:
            log.info("the root process ended, %d processes live on", left)
            self._tell_waiting()
            for viewer in self._viewers:
                self._feed(viewer)
            self._tell_viewers()

    def _pod_empty(self) -> None:
        if self._busy is not None:
            self._when_free.append(self._pod_empty)
            return
        self._end(self.outcome or Outcome("exited"))

    def _end(self, outcome: Outcome) -> None:
        """The pod is not here any more; finish when everybody has seen the last of it."""
        if self._ending_since:
            return
        how = "discarded" if self._discarded else outcome.how
        self.outcome = replace(outcome, how=how, instance=self.instance, left=0)
        self._ending_since = time.monotonic()
        for viewer in list(self._viewers):  # those that are dead are found out by this
            self._send(viewer.client, {"id": viewer.request, "stream": b"", "at": viewer.at})
        self._try_to_finish()

    def _try_to_finish(self) -> None:
        while self._pump_log():
            pass
        if self.terminal is not None:
            while self._may_read_terminal() and self.terminal.pump():
                pass
            for viewer in list(self._viewers):
                self._feed(viewer)
            waited = time.monotonic() - self._ending_since
            behind = [v for v in self._viewers if v.acked < self.terminal.ring.end]
            if behind and (waited < _ENDING_S or not all(v.stalled() for v in behind)):
                return
        if self._awaits_client():
            return
        self._done = True

    def _asked_to_end(self) -> None:
        log.info("asked to end by a signal")
        if self._busy is not None:
            self._when_free.append(self._asked_to_end)
        elif not self._ending_since:
            self._stop(10.0)

    def _stop(self, grace: float) -> None:
        def work() -> dict[str, Any]:
            self._signal_everyone(signal.SIGTERM)
            if getattr(self.pod, "frozen", False):
                self.pod.thaw()
            self._signal_everyone(signal.SIGCONT)
            if not self._empty.wait(grace):
                self.pod.kill()
            return {}

        self._held = False
        self._work(None, work)

    def _signal_everyone(self, number: int) -> None:
        for process in self.pod.processes():
            with contextlib.suppress(ZaptraceError, ProcessLookupError):
                self.pod.signal(number, process.vpid)

    def _kill(self) -> None:
        def work() -> dict[str, Any]:
            self.pod.kill()
            return {}

        self._held = False
        self._work(None, work)

    def _discard(self, request: Request | None) -> None:
        if request is not None:
            self._waiting.append(request)
        self._discarded = True
        self._kill()

    def _tell_waiting(self) -> None:
        assert self.outcome is not None
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            self._reply(request, outcome=self.outcome.to_plain())

    def _tell_viewers(self) -> None:
        assert self.outcome is not None
        viewers, self._viewers = self._viewers, []
        for viewer in viewers:
            message = {"id": viewer.request, "ok": True, "outcome": self.outcome.to_plain()}
            self._send(viewer.client, message)

    def _close(self) -> None:
        """Record how it ended, tell who waits, and leave nothing behind."""
        assert self.outcome is not None and self.entry is not None
        log.info("ended: %s", self.outcome)
        with contextlib.suppress(Exception):
            self.pod.close()
        # The record first: who asks from now on finds it, who asked before is answered.
        self.entry.record_end(self.outcome.to_plain() | {"name": self.job.name, "meta": self.meta})
        self._tell_waiting()
        self._tell_viewers()
        if self.terminal is not None:
            self.terminal.close()
        # Both wait until the answers are sent; only then may we look dead.
        self._socket.close()
        self._context.term()
        self.entry.release()


def main(engine: Engine | None = None) -> None:
    """Become the supervisor that a starter asked for (see starter.py). Does not return."""
    if os.fork():
        os._exit(0)
    lifeline = socket.socket(fileno=int(sys.argv[2]))
    lifeline.set_inheritable(False)
    try:
        supervisor = Supervisor(starter.receive_job(lifeline), lifeline, engine or Engine())
        supervisor.start()
    except ZaptraceError as e:
        starter.report(lifeline, ok=False, error=e.to_plain(), exit=_shell_status(e))
        os._exit(1)
    except BaseException as e:
        error = PodError(f"the supervisor failed: {type(e).__name__}: {e}", changed="nothing")
        starter.report(lifeline, ok=False, error=error.to_plain(), exit=125)
        os._exit(1)
    starter.report(
        lifeline, ok=True, name=supervisor.job.name, instance=supervisor.instance, pid=os.getpid()
    )
    supervisor.run()
    os._exit(0)


def _shell_status(error: ZaptraceError) -> int:
    """What a shell reports when it cannot start a command; 125 for every other failure."""
    return getattr(error, "status", 125) if isinstance(error, HostError) else 125


@contextlib.contextmanager
def _default_sigpipe() -> Any:
    # Python ignores these two from its start on, and an exec would pass that on to the pod.
    before = {n: signal.signal(n, signal.SIG_DFL) for n in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _group_of(rpid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(rpid)
    return None


def _plain(value: Any) -> dict[str, Any]:
    """A report or a process as a map: from a dataclass, an object, or a map."""
    if isinstance(value, dict):
        return value
    fields = getattr(value, "__dataclass_fields__", None) or vars(value)
    return {name: getattr(value, name) for name in fields}

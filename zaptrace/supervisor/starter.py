"""Starting a supervisor: the one place where a pod's own process comes into being.

The starter and the supervisor talk once, over a socket pair that the supervisor inherits:

    starter                                     supervisor
      Job (one map)                ──▶            claims the name, launches or restores
      ◀── {"beat": true}                          every second, until one of these:
      ◀── {"ok": true, name, instance, supervisor, stdio, notes}   the pod is whole
      ◀── {"ok": false, "error": ..., "exit"}     nothing was left behind
      ◀── {"say": text}                           to whoever stays with a foreground pod
      ◀── {"outcome": ...}                        a foreground pod without a terminal has ended
      closes its end                              the lifeline is cut

An open end of the pair is a **lifeline**: while it is open the supervisor of a foreground pod with a
terminal keeps the end of its pod for the client that is about to attach, and a held pod stays held.
A held pod whose lifeline is cut is discarded: whoever could have said "go" is gone. A pod that is
being made when the lifeline is cut is not made: who only shuts its side down (ctrl-c) hears what
then holds.

A supervisor is a Python of its own, but that of a short-lived client is forked from it: what one
interpreter has loaded need not be loaded by another, and most of the start of a pod is loading.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import socket
import sys
import time

from ..errors import Cancelled, HostError, PodError, WireTimeout, ZaptraceError
from ..linux import private
from ..log import log
from ..record import Record, field
from . import control, runtime

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any, TypeAlias

    _Child: TypeAlias = tuple[int, Callable[[], object]]
    """A pid, and how to wait for it."""

_LOOK_MS = 100
UMASK = 0o077
"""Of every supervisor; its pod has that of whoever started it (Job.umask)."""
PROGRAM = "zaptrace.supervisor.supervisor"
"""The module whose main() is a supervisor; tests put one with a fake pod here."""


class Job(Record):
    """What a new supervisor is to do. Plain data: it crosses a process border."""

    verb: str
    """launch · restore"""
    root: str
    """The runtime directory."""
    name: str | None = None
    """None: one is made from the command, or taken from the image."""
    argv: list[str] = field(factory=list)
    cwd: str | None = None
    env: dict[str, str] | None = None
    umask: int = field(factory=private.umask)
    """Of whoever starts the pod: its program's, too."""
    cpu_level: int = 0
    """What it sees of the processor: the N of x86-64-vN; 0 for all."""
    image: str | None = None
    allow_changed: list[str] = field(factory=list)
    """Files that may be other ones than when the image was made."""
    ports: dict[int, int] = field(factory=dict)
    sockets: dict[str, str] = field(factory=dict)
    """At which others those are to be listened at, in a restored pod."""
    stdio: str = "inherit"
    """inherit: the pod gets our 0, 1, 2 · tty: a pty of its own · log: /dev/null and the log"""
    rows: int = 24
    cols: int = 80
    termios: list[Any] | None = None
    """As termios.tcgetattr gives it; None for the system's default."""
    cut_back: bool = False
    """Files that it wrote to and that have grown since the image are cut to what they were."""
    images: str | None = None
    """Of a job: the directory of its images (image/series.py)."""
    go_on: bool = False
    """Of a job: from the newest image that is good; without any, it is launched."""
    every: float | None = None
    """Of a job: seconds between images."""
    keep: int = 3
    """Of a job: so many images."""
    on: list[int] = field(factory=list)
    """Of a job: signals at which it is saved, which stops it."""
    outside: str = "refuse"
    """Of a job: its connections to outside, in its images."""
    codec: str | None = "zstd"
    """Of a job: how its images are packed."""
    own_log: tuple[str | None, str | None] = field(factory=lambda: log.wanted)
    """A file where the supervisor logs as well, and the least level."""
    log_size: int | None = None
    """Bytes of its log, and of the old one, at most."""
    hold: bool = False
    """Stay frozen once whole, until `thaw`."""
    foreground: bool = False
    """Our starter stays: tell it the end of the pod, or keep that for it when it attaches."""


class Started(Record):
    """A pod that is whole, and the lifeline of its supervisor."""

    name: str
    instance: str
    pid: int
    stdio: str
    """As in the job; but a restored pod may bring its own tty."""
    root: str
    lifeline: socket.socket
    notes: list[str] = field(factory=list)
    """What whoever started it should know: what it goes on from, which files have grown."""

    def connect(self) -> control.Client:
        """A client of exactly this pod."""
        return control.Client(self.name, self.root, self.instance)

    def hear(self) -> control.Outcome | str | None:
        """Of a foreground pod without a terminal: how it ended, or what its supervisor has to say
        meanwhile; None: it is gone."""
        told = _read_frame(self.lifeline)
        if told and "say" in told:
            text: str = told["say"]
            return text
        return control.Outcome.from_dict(told["outcome"]) if told else None

    def close(self) -> None:
        """Let go of the lifeline."""
        self.lifeline.close()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Waiting:
    """A supervisor that has no job yet. Without one it ends when it is closed, or we die."""

    def __init__(
        self,
        stdio: tuple[int, int, int] | None,
        name: str = "",
        *,
        warm: bool = False,
        forked: bool = False,
    ):
        """`stdio` None is /dev/null. `warm`: everything that a restore needs is loaded ahead.

        `forked`: from us, who have only this one thread and will not be there for long.
        """
        fill_standard_fds()
        self.lifeline, theirs = socket.socketpair()
        argv = [name, str(theirs.fileno()), "warm" if warm else "now"]
        begin = _forked if forked and len(os.listdir("/proc/self/task")) == 1 else _executed
        try:
            with theirs:
                self._child = begin(argv, stdio, theirs.fileno())
        except BaseException:
            self.lifeline.close()
            raise

    def give(self, job: Job, gives_up: Callable[[], bool]) -> dict[str, Any]:
        """Hand over the job; the supervisor's report."""
        with contextlib.suppress(OSError):  # it died: the report is missing, too
            _write_frame(self.lifeline, {"job": vars(job)})
        report = _read_report(self.lifeline, gives_up)
        self._reap()  # it has forked and is gone; the supervisor is its orphan
        return report

    def waits(self) -> bool:
        """It has not died: until it has a job it says nothing."""
        poller = select.poll()
        poller.register(self.lifeline, select.POLLIN)
        return not poller.poll(0)

    def close(self) -> None:
        """End it; it has no job. What it is loading would keep it for seconds on a busy host."""
        with contextlib.suppress(ProcessLookupError):  # it has died, or has no session yet
            os.killpg(self._child[0], signal.SIGKILL)
        self.lifeline.close()
        self._reap()

    def _reap(self) -> None:
        pid, wait = self._child
        handle = os.pidfd_open(pid)
        try:
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            if not poller.poll(control.SILENCE_S * 1000):
                os.kill(pid, signal.SIGKILL)
            wait()
        finally:
            os.close(handle)


def _executed(argv: Sequence[str], stdio: tuple[int, int, int] | None, lifeline: int) -> _Child:
    import subprocess  # not needed where supervisors are forked

    fds = stdio or (subprocess.DEVNULL,) * 3
    child = subprocess.Popen(
        python(PROGRAM, "main", *argv),
        stdin=fds[0],
        stdout=fds[1],
        stderr=fds[2],
        pass_fds=(lifeline,),
        start_new_session=True,
        umask=UMASK,
    )
    return child.pid, child.wait


def _forked(argv: Sequence[str], stdio: tuple[int, int, int] | None, lifeline: int) -> _Child:
    """As `_executed`: the child is left with as little of ours as a new program would be."""
    child = os.fork()
    if child:
        return child, lambda: os.waitpid(child, 0)
    try:
        os.setsid()
        os.umask(UMASK)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        null = os.open(os.devnull, os.O_RDWR)
        for slot, fd in enumerate(stdio or (null,) * 3):
            os.dup2(fd, slot)
        os.closerange(3, lifeline)
        os.closerange(lifeline + 1, os.sysconf("SC_OPEN_MAX"))
        sys.argv = ["-c", *argv]
        __import__(PROGRAM)
        sys.modules[PROGRAM].main()
    finally:
        os._exit(1)


def start(
    job: Job,
    stdio: tuple[int, int, int] = (0, 1, 2),
    waiting: Waiting | None = None,
    gives_up: Callable[[], bool] = lambda: False,
    *,
    forked: bool = False,
) -> Started:
    """Start a supervisor for `job`, or take one that is waiting; returns when its pod is whole.

    `stdio` are the descriptors that an "inherit" pod gets; `forked` as for Waiting. Raises what the
    supervisor raised; the error then has `exit_status`, what a shell would report (125, 126, 127).
    The supervisor is no child of ours when this returns, and lives in a session of its own.

    A ctrl-c meanwhile, or that `gives_up` says so, which is asked now and then, has the pod not made.
    """
    if waiting is None:
        given = stdio if job.stdio == "inherit" else None
        waiting = Waiting(given, job.name or "", forked=forked)
    try:
        report = waiting.give(job, gives_up)
    except BaseException:
        waiting.lifeline.close()
        raise
    if not report.get("ok"):
        waiting.lifeline.close()
        raise _error_of(report)
    return Started(
        report["name"],
        report["instance"],
        report["supervisor"],
        report["stdio"],
        job.root,
        waiting.lifeline,
        report["notes"],
    )


def python(module: str, function: str, *argv: str) -> list[str]:
    """The command line of another Python like ours, which calls a function of our package.

    It finds the package where we did, installed or not, and never in the working directory.
    """
    home = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    code = (
        f"import sys; p = {home!r}; p in sys.path or sys.path.insert(0, p); "
        f"from {module} import {function}; {function}()"
    )
    return [sys.executable, "-P", "-c", code, *argv]


class Held:
    """A restored pod that is whole but frozen: the host server's handle on it."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self.name = started.name
        self.client = started.connect()

    def thaw(self) -> None:
        """Let the pod run; from here on it needs nobody."""
        self.client.call("thaw")
        self._close()

    def discard(self) -> None:
        """Remove the pod; returns when nothing of it is left. Harmless when it is gone already."""
        if self.client.closed:
            return
        with contextlib.suppress(PodError, WireTimeout):
            self.client.call("discard")
        self._close()

    def _close(self) -> None:
        self.client.close()
        self._started.close()


def spawn_restored(
    image: str | os.PathLike[str],
    name: str | None = None,
    root: Path | None = None,
    waiting: Waiting | None = None,
    gives_up: Callable[[], bool] = lambda: False,
) -> Held:
    """Restore `image` as a held, detached pod with a log; returns when it is whole."""
    base = str(root) if root is not None else runtime.place()
    job = Job("restore", base, name, image=os.path.abspath(image), stdio="log", hold=True)
    return Held(start(job, waiting=waiting, gives_up=gives_up))


def receive_job(lifeline: socket.socket) -> Job | None:
    """The supervisor's side: read the job; None when there will be none."""
    told = _read_frame(lifeline)
    return Job(**told["job"]) if told else None


def report(lifeline: socket.socket, **what: object) -> None:
    """The supervisor's side: say "whole", or what went wrong. A starter that left does not mind."""
    with contextlib.suppress(OSError):
        _write_frame(lifeline, what)


def refuse(lifeline: socket.socket, error: ZaptraceError, *, again: bool = False) -> None:
    """The supervisor's side: there is no pod, and why. `again`: of a job that may be started anew."""
    status = getattr(error, "status", 125) if isinstance(error, HostError) else 125
    status = control.SAVED if again and isinstance(error, Cancelled) else status
    report(lifeline, ok=False, error=error.to_dict(), exit=status)


def beat(lifeline: socket.socket) -> None:
    """The supervisor's side: we are at it. A starter that does not read is not waited for."""
    with contextlib.suppress(OSError):
        lifeline.send(_frame({"beat": True}), socket.MSG_DONTWAIT)


def hung_up(lifeline: socket.socket) -> bool:
    """The supervisor's side: is nobody there any more who could be told? Who gave up still is."""
    poller = select.poll()
    poller.register(lifeline, 0)
    return bool(poller.poll(0))


def _read_report(lifeline: socket.socket, gives_up: Callable[[], bool]) -> dict[str, Any]:
    try:
        return _await_report(lifeline, gives_up)
    except (KeyboardInterrupt, _GivenUp):
        with contextlib.suppress(OSError):  # it is gone already
            lifeline.shutdown(socket.SHUT_WR)
        return _await_report(lifeline, lambda: False) | {"exit": 128 + signal.SIGINT}


class _GivenUp(Exception):
    """Who starts the pod does not want it any more."""


def _await_report(lifeline: socket.socket, gives_up: Callable[[], bool]) -> dict[str, Any]:
    heard = time.monotonic()
    poller = select.poll()
    poller.register(lifeline, select.POLLIN)
    while time.monotonic() - heard < control.SILENCE_S:
        if gives_up():
            raise _GivenUp
        if not poller.poll(_LOOK_MS):
            continue
        heard = time.monotonic()
        message = _read_frame(lifeline)
        if message is None:
            break
        if "beat" not in message:
            return message
    else:
        raise WireTimeout(
            "the supervisor that makes the pod does not answer",
            needed="a sign of life of it every second",
            found=f"none for {control.SILENCE_S:g} s",
            do="zaptrace ps shows if there is a pod; zaptrace stop ends it",
            changed="it is told to make no pod",
        )
    raise PodError(
        "the supervisor died before its pod was whole",
        needed="a report of the supervisor",
        found="it is gone without one",
        do="see the limits: of processes (ulimit -u, a container's pids limit), and of memory",
        changed="nothing is left of the pod",
    )


def _frame(message: dict[str, Any]) -> bytes:
    # Both ends are one Python, and nobody else has the socket: so what Python itself has will do.
    data = marshal.dumps(message)
    return len(data).to_bytes(4, "big") + data


def _write_frame(stream: socket.socket, message: dict[str, Any]) -> None:
    stream.sendall(_frame(message))


def _read_frame(stream: socket.socket) -> dict[str, Any] | None:
    """One length-prefixed message; None when the other side left before its end."""
    head = _read_exactly(stream, 4)
    length = int.from_bytes(head, "big")
    data = _read_exactly(stream, length) if len(head) == 4 else b""
    return marshal.loads(data) if data and len(data) == length else None


def _read_exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):  # it died without reading what we sent
        while len(data) < count and (more := stream.recv(count - len(data))):
            data += more
    return data


def _error_of(report: dict[str, Any]) -> ZaptraceError:
    error = ZaptraceError.from_dict(report.get("error") or {})
    error.exit_status = report.get("exit", 125)
    if hasattr(error, "status"):
        error.status = error.exit_status
    return error


def fill_standard_fds() -> None:
    """Open /dev/null for those of 0, 1 and 2 that are closed.

    Else a pipe or socket of ours would land there, and be taken for the pod's stdio.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)

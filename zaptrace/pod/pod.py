"""A pod of this process: launched or restored, traced by a thread of its own.

The tracer thread makes every ptrace call. Everything that touches a tracee is sent to it as a
function (`Pod.call`), so there are no locks: while it runs such a function, no stop is handled.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import resource
import shutil
import signal as signals
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, TypeVarTuple

from ..errors import HostError, PodError, ZaptraceError, refusals_of_the_host
from ..ids import SUPERVISOR, Rpid, Vpid
from ..linux import procfs
from ..linux.native import Bytes, Handle, NativeError, Strings, check, ffi, lib, new_error
from ..linux.tracee import tasks
from ..log import fault, log, unforeseen
from ..view.build import Deferred
from ..view.frozen import FrozenPod
from .senders import show_senders
from .stdio import Stdio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FREEZE_TIMEOUT_MS = 10_000
_CUT_AFTER_S = 1.0
_CLOSE_S = 40.0
"""Longer than the tracer waits for the end of a process (zt_loop_kill)."""
_LOOK_S = 1.0
_WAKE_AGAIN_S = 0.001
"""A wake that comes just before the tracer goes to sleep is lost (zt_loop_wake): so once more."""


class LaunchError(HostError):
    """The program could not be executed; `status` is 127 (not found) or 126, as a shell reports."""

    def __init__(self, what: str, status: int = 126, **fields: str | None) -> None:
        super().__init__(what, **fields)
        self.status = status


@dataclass(frozen=True)
class ProcessInfo:
    """One process as the pod and the host number it; `state` is the letter of proc(5), or "frozen"."""

    vpid: Vpid
    rpid: Rpid
    ppid: Vpid
    comm: str
    state: str
    threads: int


@dataclass
class _Job:
    """A function for the tracer thread, and what became of it."""

    work: Callable[[], object]
    taken: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: BaseException | None = None

    def run(self) -> None:
        self.taken.set()
        try:
            self.value = self.work()
        except BaseException as error:
            self.error = error
        self.done.set()


class Pod:
    """A running pod. `handle` is the tracer's, to be used on its thread only."""

    def __init__(self, name: str, *, moved: bool = False, stdio: Stdio | None = None) -> None:
        self.name = name
        self.created = time.time()
        self.stdio = stdio or Stdio()
        self.tty_master = self.stdio.master
        self._handle: Handle | None = None
        self.before_thaw: list[Deferred] = []
        self.failure: ZaptraceError | None = None
        """Why the tracer had to end the pod, if it had to."""
        self.told: list[str] = []
        """What the tracer had to say to people, oldest first; also in the log."""
        with refusals_of_the_host(f'cannot make pod "{name}"'):
            self._stdio_ids = self.stdio.identify()
        self._moved = moved
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._root_ended = threading.Event()
        self._empty = threading.Event()
        self._root_status = 0
        self._closed = False
        self._handle_lock = threading.Lock()  # for other threads: it is there while they look
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._trace, args=(started,), name=f"tracer of {name}", daemon=True
        )
        self._thread.start()
        error = started.get()
        if error:
            raise error

    @property
    def handle(self) -> Handle:
        if not self._handle:
            raise PodError(f'pod "{self.name}" is closed')
        return self._handle

    # -- the tracer thread

    def _trace(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        signals.pthread_sigmask(signals.SIG_BLOCK, {signals.SIGINT, signals.SIGTERM})
        try:
            err = new_error()
            self._handle = lib.zt_pod_create(self._moved, 0, err)
            if not self._handle:
                raise HostError(f"cannot make a pod: {ffi.string(err.text).decode()}")
        except BaseException as error:
            started.put(error)
            return
        started.put(None)
        try:
            self._serve()
        except Exception as error:
            self.failure = unforeseen(f'trace pod "{self.name}"', error, "the pod was ended")
            self._root_ended.set()
            self._empty.set()
        finally:
            with self._handle_lock:
                lib.zt_pod_destroy(self.handle)
                self._handle = None

    def _serve(self) -> None:
        """Jobs and stops, until the job that ends it all."""
        populated = False
        while True:
            while not self._jobs.empty():
                job = self._jobs.get()
                if job is None:
                    self._kill_all()
                    return
                job.run()
                populated = populated or lib.zt_pod_tasks(self.handle, ffi.NULL, 0) > 0
            if not self._turn(populated):
                if populated:
                    self._root_ended.set()
                    self._empty.set()
                self._wait_for_job()

    def _turn(self, populated: bool) -> bool:
        """Handle stops until somebody wants us; False when nothing is left of the pod."""
        going = False
        try:
            if populated:
                fault("tracer.turn")
            if not self.frozen:
                show_senders(self.handle)
            err = new_error()
            going = check(lib.zt_loop_run(self.handle, err), err) > 0
        except ZaptraceError as error:
            self._give_up(error)
        self._take_told()
        self._note_root()
        return going

    def _give_up(self, error: ZaptraceError) -> None:
        """The tracer cannot go on: end the pod rather than leave it half traced."""
        left = self._kill_all()
        if self.failure is None:
            self.failure = PodError(
                f'pod "{self.name}" was ended, because its tracer cannot go on: {error.what}',
                do="report this; zaptrace restore brings back the last checkpoint, if there is one",
                changed=left or "every process of the pod was ended by SIGKILL",
            )
        log.error("%s", self.failure)

    def _kill_all(self) -> str | None:
        """End every process; what is still there after a long time, if anything is."""
        err = new_error()
        if not lib.zt_loop_kill(self.handle, err):
            return None
        text = ffi.string(err.text).decode(errors="replace")
        log.error("cannot end pod %s: %s", self.name, text)
        return text

    def _take_told(self) -> None:
        text = ffi.new("char[]", 512)
        while lib.zt_pod_told(self.handle, text, len(text)):
            self.told.append(ffi.string(text).decode(errors="replace"))
            log.warning("%s", self.told[-1])

    def _wait_for_job(self) -> None:
        job = self._jobs.get()
        self._jobs.put(job)  # only this thread takes, so it is the next one, or one of the next

    def _note_root(self) -> None:
        status = ffi.new("int32_t *")
        if lib.zt_pod_root_status(self.handle, status):
            self._root_status = status[0]
            self._root_ended.set()

    def call(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run `work(*args)` on the tracer thread; its value, or its exception.

        It takes as long as the work does. No wait of the tracer for a thread is without an end
        (zt_stop_wait), and `cut` makes those end at once that are for processes of the pod.
        """
        if threading.current_thread() is self._thread:
            return work(*args)
        if self._closed:
            raise PodError(f'pod "{self.name}" is closed')
        job = _Job(lambda: work(*args))
        self._jobs.put(job)
        self._wake()
        while not job.taken.wait(_WAKE_AGAIN_S):
            if not self._thread.is_alive():
                raise PodError(f'pod "{self.name}" is closed')
            self._wake()
        while not job.done.wait(_LOOK_S):
            if not self._thread.is_alive() and not job.done.is_set():
                raise PodError(f'pod "{self.name}" is closed')
        if job.error:
            raise job.error
        value: T = job.value
        return value

    def _wake(self) -> None:
        with self._handle_lock:
            if self._handle:
                lib.zt_loop_wake(self._handle)

    # -- life

    @classmethod
    def launch(
        cls,
        argv: Sequence[str],
        *,
        name: str,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdio: Stdio | None = None,
    ) -> Pod:
        """Start a program in a new pod. Raises LaunchError when it cannot be executed."""
        env = dict(os.environ if env is None else env)
        path = _find(argv[0], env, cwd)
        pod = cls(name, stdio=stdio)
        try:
            limit = raise_file_limit()
            pod.call(lambda: pod.launch_root(path, argv, env, cwd, nofile=limit))
        except BaseException:
            pod.close()
            raise
        return pod

    def launch_root(
        self,
        path: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str | None = None,
        *,
        vpid: int = 0,
        hold: bool = False,
        fds: Sequence[int] | None = None,
        tty: bool | None = None,
        root: bool = True,
        nofile: int = 0,
    ) -> Rpid:
        """On the tracer thread: fork and execute a process of the supervisor's own.

        `nofile` is its soft limit on open files; 0 for ours.
        """
        spec = ffi.new("zt_launch_spec *")
        c_argv, c_env = _c_strings(argv), _c_strings(f"{k}={v}" for k, v in env.items())
        keep = [_c_string(path)]
        spec.path = keep[0]
        spec.argv = c_argv[0]
        spec.envp = c_env[0]
        if cwd is not None:
            keep.append(_c_string(cwd))
            spec.cwd = keep[-1]
        spec.fds = list(fds or self.stdio.named().values())
        spec.tty = self.stdio.tty if tty is None else tty
        spec.vpid = vpid
        spec.hold = hold
        spec.nofile = nofile
        spec.root = root
        rpid = ffi.new("int32_t *")
        err = new_error()
        if lib.zt_loop_launch(self.handle, spec, rpid, err) and err.kind == lib.ZT_ERR_EXEC:
            raise _launch_error(argv[0], err.os_errno)
        check(-1 if err.kind else 0, err)
        return Rpid(rpid[0])

    def wait(self, timeout: float | None = None) -> int | None:
        """The wait status (waitpid(2)) of the first process once it has ended; None at a timeout."""
        return self._root_status if self._root_ended.wait(timeout) else None

    def wait_empty(self, timeout: float | None = None) -> bool:
        """Until no process is left; False at a timeout."""
        return self._empty.wait(timeout)

    @property
    def frozen(self) -> bool:
        with self._handle_lock:
            return bool(self._handle) and bool(lib.zt_loop_frozen(self.handle))

    @property
    def empty(self) -> bool:
        return self._empty.is_set()

    def freeze(self) -> None:
        """Stop every thread; nothing if it is frozen. Raises PodError when one does not stop."""

        def work() -> None:
            if self.frozen:
                return
            err = new_error()
            if lib.zt_loop_freeze(self.handle, FREEZE_TIMEOUT_MS, err):
                late = err.kind == lib.ZT_ERR_TIMEOUT
                raise PodError(
                    f'cannot freeze pod "{self.name}": {ffi.string(err.text).decode()}',
                    do="try again when it is done with that" if late else None,
                    changed="nothing; the pod is running" if late else "the pod is being ended",
                )

        self.call(work)

    def thaw(self) -> None:
        """Let every thread go on; nothing if it is running."""

        def work() -> None:
            if not self.frozen:
                return
            while self.before_thaw:
                try:
                    self.before_thaw[0].work()
                except OSError as error:
                    raise PodError(
                        f'cannot thaw pod "{self.name}": {error.strerror}',
                        needed="the addresses and locks that it held, free on this host",
                        found=str(error),
                        do="end what holds them, then thaw the pod",
                        changed="nothing; the pod is frozen still",
                    ) from error
                self.before_thaw.pop(0)
            check(lib.zt_loop_thaw(self.handle, err := new_error()), err)

        self.call(work)

    def frozen_view(self) -> FrozenPod:
        """On the tracer thread, frozen: what capture reads."""
        return FrozenPod(self.handle, self.name, stdio=self._stdio_ids, tty_master=self.tty_master)

    def processes(self) -> list[ProcessInfo]:
        """Every process, oldest first."""
        return self.call(
            lambda: [p for p in map(self._info, self._threads_by_process().items()) if p]
        )

    def _threads_by_process(self) -> dict[Rpid, int]:
        counts: dict[Rpid, int] = {}
        for task in tasks(self.handle):
            counts[task.rpid] = counts.get(task.rpid, 0) + 1
        return counts

    def _info(self, item: tuple[Rpid, int]) -> ProcessInfo | None:
        rpid, threads = item
        try:
            status = procfs.status(rpid)
        except OSError:
            return None
        ppid = lib.zt_ids_to_virtual(self.handle, int(status["PPid"])) or SUPERVISOR
        vpid = lib.zt_ids_to_virtual(self.handle, rpid)
        state = status["State"][0]
        if self.frozen and state != "Z":
            state = "frozen"
        return ProcessInfo(Vpid(vpid), rpid, Vpid(ppid), status["Name"], state, threads)

    def signal(self, sig: int, vpid: int | None = None) -> None:
        """Send a signal to a process; None means the oldest one. PodError if there is no such."""

        def work() -> None:
            rpids = {t.vpid: t.rpid for t in tasks(self.handle)}
            target = Vpid(vpid) if vpid is not None else next(iter(rpids), None)
            if target is None or target not in rpids:
                raise PodError(
                    f'pod "{self.name}" has no process {target}',
                    found=", ".join(map(str, rpids)) or "an empty pod",
                )
            os.kill(rpids[target], sig)

        self.call(work)

    def kill(self) -> None:
        """End every process; returns when nothing is left."""

        def work() -> None:
            left = self._kill_all()
            self._note_root()
            if left:
                raise PodError(
                    f'cannot end pod "{self.name}": {left}',
                    do="its processes end when what they wait for comes, or at the host's next boot",
                    changed="every process of the pod has been sent SIGKILL",
                )
            self._root_ended.set()
            self._empty.set()

        self.call(work)

    @staticmethod
    def cut() -> None:
        """From any thread: SIGKILL to every process of every pod of ours, whatever their tracers do.

        What those wait for then is over, so the work that they do fails, as if it had been killed.
        """
        procfs.end_traced({int(tid) for tid in os.listdir("/proc/self/task")})

    def close(self, patience: float = _CLOSE_S) -> None:
        """End what is left of the pod, and the tracer thread; leave it alone after `patience` seconds.

        Then its processes end with ours (PTRACE_O_EXITKILL).
        """
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        began, cut = time.monotonic(), False
        while self._thread.is_alive() and (waited := time.monotonic() - began) < patience:
            self._wake()
            self._thread.join(_WAKE_AGAIN_S)
            if waited > _CUT_AFTER_S and not cut:
                cut = True
                # Ours alone: this may be a rehearsal, beside the pod that it is of.
                procfs.end_traced({self._thread.native_id or 0})
        if self._thread.is_alive():
            log.error("the tracer of pod %s does not end", self.name)
        for deferred in self.before_thaw:
            with contextlib.suppress(OSError):
                deferred.give_up()
        self.before_thaw.clear()

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _find(command: str, env: Mapping[str, str], cwd: str | None) -> str:
    """The file that a shell would execute. Raises LaunchError."""
    if "/" in command:
        return command
    path = shutil.which(command, path=env.get("PATH", os.defpath))
    if path is None:
        raise LaunchError(f"cannot run {command}: not found in PATH", 127)
    return path


def _launch_error(command: str, code: int) -> ZaptraceError:
    import errno

    status = 127 if code == errno.ENOENT else 126
    return LaunchError(f"cannot run {command}: {os.strerror(code)}", status)


def _c_string(text: str | bytes) -> Bytes:
    return ffi.new("char[]", text if isinstance(text, bytes) else os.fsencode(text))


def _c_strings(texts: Iterable[str | bytes]) -> tuple[Strings, list[Bytes]]:
    """An array of C strings, with what keeps it alive."""
    strings = [_c_string(text) for text in texts]
    return ffi.new("char *[]", [*strings, ffi.NULL]), strings


@functools.cache
def raise_file_limit() -> int:
    """Pods with many files need many descriptors in us; the soft limit that we had before, not 0."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


__all__ = ["LaunchError", "NativeError", "Pod", "ProcessInfo", "Stdio", "raise_file_limit"]

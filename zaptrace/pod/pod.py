"""A pod of this process: launched or restored, traced by a thread of its own.

The tracer thread makes every ptrace call. Everything that touches a tracee is sent to it as a
function (`Pod.call`), so there are no locks: while it runs such a function, no stop is handled.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal as signals
import threading
import time

from ..cancel import Cancel
from ..errors import HostError, PodError, ZaptraceError, refusals_of_the_host, start_thread
from ..ids import Rpid, Vpid
from ..linux.native import Handle, NativeError, check, ffi, lib, new_error
from ..log import fault, log, unforeseen
from ..record import Record, field
from . import looking
from .command import environment, find, hides, launch_error, launch_spec, raise_file_limit
from .stdio import Stdio

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar, TypeVarTuple

    from ..view.build import Deferred
    from ..view.frozen import FrozenPod, Kept
    from .listing import Known, ProcessInfo

    T = TypeVar("T")
    Ts = TypeVarTuple("Ts")

FREEZE_TIMEOUT_MS = 10_000
_CUT_AFTER_S = 1.0
_BUSY_S = 0.5
_CLOSE_S = 40.0
"""Longer than the tracer waits for the end of a process (zt_loop_kill)."""
_LOOK_S = 1.0
_WAKE_AGAIN_S = 0.001
"""A wake that comes just before the tracer goes to sleep is lost (zt_loop_wake): so once more."""


class _Job(Record):
    """A function for the tracer thread, and what became of it."""

    work: Callable[[], object]
    taken: threading.Event = field(factory=threading.Event)
    done: threading.Event = field(factory=threading.Event)
    value: Any = None
    error: BaseException | None = None
    dropped: bool = False
    """Nobody waits for it any more."""

    def run(self) -> None:
        self.taken.set()
        if self.dropped:
            return
        try:
            self.value = self.work()
        except BaseException as error:
            self.error = error
        self.done.set()


class _BusyError(Exception): ...  # the tracer is at something else


class Pod:
    """A running pod. `handle` is the tracer's, to be used on its thread only."""

    def __init__(self, name: str, *, moved: bool = False, stdio: Stdio | None = None) -> None:
        self.name = name
        self.created = time.time()
        self.stdio = stdio or Stdio()
        self.tty_master = self.stdio.master
        self._handle: Handle | None = None
        self.before_thaw: list[Deferred] = []
        self.kept: Kept | None = None
        self._known: list[Known] = []
        self.before_end: list[Callable[[], None]] = []  # what a checkpoint wants, if it ends here
        self.failure: ZaptraceError | None = None  # why the tracer had to end the pod, if it had to
        self.told: list[str] = []  # what it had to say to people, oldest first; also in the log
        with refusals_of_the_host(f'cannot make pod "{name}"'):
            self.given = self.stdio.identify()
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
        start_thread(self._thread)
        if error := started.get():
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
        looker = looking.begin(self._handle, self.name)
        started.put(None)
        try:
            self._serve()
        except Exception as error:
            self.failure = unforeseen(f'trace pod "{self.name}"', error, "the pod was ended")
            self._root_ended.set()
            self._empty.set()
        finally:
            looking.end(self._handle, looker)
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
                populated = populated or bool(lib.zt_pod_has_begun(self.handle))
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
            if not self.frozen and lib.zt_pod_wants(self.handle):
                from .asked import stand_still  # few pods ever have to

                with self._handle_lock:  # to others that is not frozen
                    stand_still(self.handle, self.kept)
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
        if self.kept:
            self.kept.close()
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
        return self._call(lambda: work(*args))

    def _call(self, work: Callable[[], T], patience: float | None = None) -> T:
        """The same; with `patience`, _BusyError when the tracer has not come to it within that."""
        if threading.current_thread() is self._thread:
            return work()
        if self._closed:
            raise PodError(f'pod "{self.name}" is closed')
        job, since = _Job(work), time.monotonic()
        self._jobs.put(job)
        self._wake()
        while not job.taken.wait(_WAKE_AGAIN_S):
            if not self._thread.is_alive():
                raise PodError(f'pod "{self.name}" is closed')
            if patience is not None and time.monotonic() - since > patience:
                job.dropped = True
                raise _BusyError
            self._wake()
        while not job.done.wait(_LOOK_S):
            if not self._thread.is_alive() and not job.done.is_set():
                raise PodError(f'pod "{self.name}" is closed')
        if job.error:
            raise job.error
        value: T = job.value
        return value

    def glance(self, work: Callable[[], T]) -> T | None:
        """As `call`; None, and nothing done, while the tracer is at something that takes long."""
        with contextlib.suppress(_BusyError):
            return self._call(work, _BUSY_S)
        return None

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
        cpu_level: int = 0,  # see linux/cpu.py, keep_to
    ) -> Pod:
        """Start a program in a new pod. Raises LaunchError when it cannot be executed."""
        path = find(argv[0], env := environment(env, cpu_level), cwd)
        pod = cls(name, stdio=stdio)
        try:
            pod.call(lib.zt_pod_set_cpu_level, pod.handle, cpu_level, hides(cpu_level))
            pod.call(lambda: pod.launch_root(path, argv, env, cwd, nofile=raise_file_limit()))
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
        joins: bool = False,
        nofile: int = 0,
    ) -> Rpid:
        """On the tracer thread: fork and execute a process of the supervisor's own.

        `nofile` is its soft limit on open files; 0 for ours. One that `joins` is of a frozen pod.
        """
        tty, fds = self.stdio.tty if tty is None else tty, fds or [*self.stdio.named().values()]
        spec, _strings = launch_spec(path, argv, env, cwd, fds, tty)
        spec.vpid, spec.hold, spec.nofile = vpid, hold, nofile
        spec.root, spec.joins = root, joins
        rpid = ffi.new("int32_t *")
        err = new_error()
        if lib.zt_loop_launch(self.handle, spec, rpid, err) and err.kind == lib.ZT_ERR_EXEC:
            raise launch_error(argv[0], err.os_errno)
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

    def freeze(self, cancel: Cancel | None = None) -> None:
        """Stop every thread; nothing if it is frozen. Raises PodError when one does not stop."""
        from .listing import known  # most pods are never looked at

        cancel = cancel or Cancel()

        def work() -> None:
            if self.frozen:
                return
            cancel.check()
            err = new_error()
            failed = lib.zt_loop_freeze(self.handle, FREEZE_TIMEOUT_MS, err)
            if failed and cancel.asked and err.kind in (lib.ZT_ERR_CANCELLED, lib.ZT_ERR_TIMEOUT):
                error = cancel.error()
                error.changed = self.gone() or "nothing; the pod is running"
                raise error
            if failed:
                late = err.kind == lib.ZT_ERR_TIMEOUT
                raise PodError(
                    f'cannot freeze pod "{self.name}": {ffi.string(err.text).decode()}',
                    do="try again when it is done with that" if late else None,
                    changed=self.gone() or "nothing; the pod is running"
                    if late
                    else "the pod is being ended",
                )
            self._known = known(self.handle)

        try:
            with cancel.waking(lambda: self._cancel_freeze(1)):
                self.call(work)
        finally:
            self._cancel_freeze(0)

    def _cancel_freeze(self, wanted: int) -> None:
        with self._handle_lock:
            if self._handle:
                lib.zt_loop_cancel(self._handle, wanted)

    def dead_member(self) -> Vpid | None:
        """A process that was there when the pod came to rest, and has ended or is about to."""
        from .listing import is_ending

        return next((one.vpid for one in self._known if is_ending(one.rpid)), None)

    def gone(self) -> str | None:
        """That the pod has ended, in words, after a look at its processes; None: it lives."""
        from .listing import is_ending

        if self.failure is not None:
            return "the pod has ended: its tracer could not go on"
        with contextlib.suppress(PodError):
            if not all(is_ending(process.rpid) for process in self.processes()):
                return None
        return "the pod has ended meanwhile, not by us"

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
            self.before_end.clear()
            check(lib.zt_loop_thaw(self.handle, err := new_error()), err)

        self.call(work)

    def frozen_view(self) -> FrozenPod:
        """On the tracer thread, frozen: what capture reads."""
        from ..view.frozen import FrozenPod, Kept  # most pods are never looked at

        self.kept = self.kept or Kept()
        return FrozenPod(self.handle, self.name, self.given, self.tty_master, self.kept)

    def processes(self) -> list[ProcessInfo]:
        """Every process, oldest first. While the tracer is at something that takes long: those that
        were there when it began, as they are now."""
        from .listing import info, known

        def work() -> None:
            self._known = known(self.handle)

        self.glance(work)
        return [p for p in (info(one, self._known, self.frozen) for one in self._known) if p]

    def signal(self, sig: int, vpid: int | None = None) -> None:
        """Send a signal to a process; None means the oldest one. PodError if there is no such."""
        from .listing import rpids_of

        def work() -> None:
            rpids = rpids_of(self.handle)
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
            for last in self.before_end if self.frozen else ():
                with contextlib.suppress(ZaptraceError):  # it ends all the same
                    last()
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
        from ..linux import procfs  # only where something hangs

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
                from ..linux import procfs

                procfs.end_traced({self._thread.native_id or 0})
        if self._thread.is_alive():
            log.error("the tracer of pod %s does not end", self.name)
        for deferred in self.before_thaw:
            with contextlib.suppress(OSError):
                deferred.give_up()
        self.before_thaw.clear()

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["NativeError", "Pod", "Stdio"]

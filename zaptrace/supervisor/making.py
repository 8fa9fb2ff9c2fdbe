"""A pod that is being made: what its stdio will be, and the work, which can be given up.

coordinator    prepare ─► (a worker runs `work`) ─► adopt ─► close
"""

from __future__ import annotations

import contextlib
import os

from ..cancel import Cancel

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from ..pod.pod import Pod
    from .engine import Engine
    from .logs import PodLog
    from .starter import Job
    from .terminal import Terminal
    from .workers import Results


class Making:
    """Of one pod. All but `work` belongs to the coordinator."""

    def __init__(self, job: Job, engine: Engine, log: str) -> None:
        self.doing = job.verb  # launch, restore
        self.cancel = Cancel(f"the {job.verb} of pod {job.name!r}")
        self.pod_log: PodLog | None = None
        self._job = job
        self._engine = engine
        self._after = contextlib.ExitStack()
        self._stdio = (0, 1, 2)
        self._master: int | None = None
        self._log = log

    def prepare(self) -> None:
        """Open what becomes the pod's 0, 1 and 2."""
        if self._job.stdio == "tty":
            from .terminal import make_pty

            self._master, slave = make_pty(self._job.rows, self._job.cols, self._job.termios)
            self._after.callback(os.close, slave)
            self._stdio = (slave, slave, slave)
        elif self._job.stdio == "log":
            from .logs import PodLog

            self.pod_log = PodLog(self._log)
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self._after.callback(os.close, nothing)
            self._after.callback(self.pod_log.given)
            self._stdio = (nothing, self.pod_log.pod_end, self.pod_log.pod_end)

    def work(self) -> Results:
        """In a worker: {"pod": it}, whole, and running unless it is to be held."""
        make = self._engine.launch if self._job.verb == "launch" else self._engine.restore
        pod = make(self._job, self._stdio, self._master, self.cancel)
        try:
            self.cancel.commit()
            if self._job.verb == "restore" and not self._job.hold:
                pod.thaw()
        except BaseException:
            pod.close()
            raise
        return {"pod": pod}

    @staticmethod
    def cut() -> None:
        """SIGKILL to what there is of the pod: whatever is waited for in it is over."""
        from ..linux import procfs  # only where something hangs

        procfs.end_traced({int(tid) for tid in os.listdir("/proc/self/task")})

    def adopt_terminal(self, pod: Pod) -> Terminal | None:
        """The terminal of a pod that is whole, if it has one."""
        # A restored pod may bring the pty that it had; then the one made for its slots is unused.
        ours, self._master = self._master, None
        master = pod.tty_master
        if master is None:
            master = ours
        elif ours is not None and master != ours:
            os.close(ours)
        if master is None:
            return None
        from .terminal import Terminal

        terminal = Terminal(master)
        carried = None if self._job.verb == "launch" else pod.stdio.scrollback
        if carried is not None:
            terminal.ring.carry_on(carried)
            pod.stdio.scrollback = None
        elif self._job.stdio == "tty":
            terminal.resize(self._job.rows, self._job.cols)
        return terminal

    def close(self) -> None:
        """Let go of what the pod has by now, or never will."""
        self._after.close()
        if self._master is not None:
            os.close(self._master)
            self._master = None

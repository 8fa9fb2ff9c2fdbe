"""A pod that is being made: what its stdio will be, and the work, which can be given up.

coordinator    prepare ─► (a worker runs `work`) ─► adopt ─► close

What it is made from, where there is a directory of images (image/series.py): the newest image that is
good. One that is damaged is passed over, and that is said; whatever else stands against a restore is no
reason to go back to an older one.
"""

from __future__ import annotations

import contextlib
import os

from ..cancel import Cancel
from ..errors import BadImage, PodError, RestoreError
from . import runtime

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
        self.image: str | None = None
        """What the pod was made from, if from one."""
        self.leave_fd = -1
        """Of a job: the eventfd that tells of signals that it has to leave at."""
        self.notes: list[str] = []
        """What whoever asked for it should know."""
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
            from .logs import MOST, PodLog

            self.pod_log = PodLog(self._log, self._job.log_size or MOST)
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self._after.callback(os.close, nothing)
            self._after.callback(self.pod_log.given)
            self._stdio = (nothing, self.pod_log.pod_end, self.pod_log.pod_end)

    def work(self) -> Results:
        """In a worker: {"pod": it}, whole, and running unless it is to be held."""
        pod = self._make()
        try:
            self.cancel.commit()
            self.notes += self._engine.notes
            if self._job.on:
                self._engine.keep_out(pod, self._job.on, self.leave_fd)
            if self.image is not None and not self._job.hold:
                self._let_run(pod)
        except BaseException:
            pod.close()
            raise
        return {"pod": pod}

    def _let_run(self, pod: Pod) -> None:
        """The last step of a restore: what its former self may have held on this host is taken."""
        try:
            pod.thaw()
        except PodError as error:
            raise RestoreError(
                f"cannot restore pod {self._job.name!r}: what it needs is taken here",
                stage="RESUME",
                needed=error.needed,
                found=error.found or error.what,
                do="end what holds them, perhaps the pod itself (zaptrace ps), then restore it again;"
                " one beside it listens elsewhere: --port OLD=NEW, --socket OLD=NEW",
                changed="nothing; what was made of the pod is gone again",
            ) from error

    def _make(self) -> Pod:
        images = images_of(self._job)
        if not images:
            return self._engine.launch(self._job, self._stdio, self._master, self.cancel)
        damaged: BadImage | None = None
        for self.image in images:
            try:
                pod = self._engine.restore(
                    self._job.but(image=self.image), self._stdio, self._master, self.cancel
                )
            except BadImage as error:
                damaged = error
                self.notes.append(f"passed over: {error.what}")
                continue
            if len(images) > 1 or self._job.images:
                self.notes.insert(0, f"goes on from {self.image}")
            return pod
        assert damaged is not None
        damaged.do = f"look at what else there is, or remove {images[-1]}: then the job begins anew"
        if self._job.verb == "restore":
            damaged.do = None
        raise damaged

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
        carried = None if self.image is None else pod.stdio.scrollback
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


def images_of(job: Job) -> list[str]:
    """Images that the pod may be made from, the best first; none: it is launched."""
    if job.verb == "launch" and not (job.images and job.go_on):
        return []
    if job.verb == "launch":
        from ..image.series import Series

        return Series(str(job.images)).to_go_on_from()
    from ..pod.newest import images_at

    return images_at(str(job.image))


def claim(job: Job, engine: Engine) -> runtime.PodDir:
    """The entry of the pod; the job has a name then."""
    if job.name is not None:
        return runtime.claim(job.name, job.root)
    wanted = job.argv[0] if job.argv else _name_in(images_of(job), engine)
    entry = runtime.claim_free(wanted or "pod", job.root)
    job.name = entry.name
    return entry


def _name_in(images: list[str], engine: Engine) -> str | None:
    for image in images[:-1]:
        with contextlib.suppress(BadImage):
            return engine.image_pod(image).get("name")
    return engine.image_pod(images[-1]).get("name")


def command_line(pod: Pod) -> list[str]:
    """That of the oldest process of a restored pod."""
    with contextlib.suppress(OSError, IndexError):
        rpid = pod.processes()[0].rpid
        with open(f"/proc/{rpid}/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    return []

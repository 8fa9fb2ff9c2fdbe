"""zaptrace: run, checkpoint, restore and migrate ordinary Linux processes, as an ordinary user.

    import zaptrace

    pod = zaptrace.launch(["./server"], name="web")     # a supervisor of its own, with a log
    zaptrace.checkpoint(pod, to="web.zap", then="stop")
    pod = zaptrace.restore("web.zap")
    zaptrace.migrate(pod, to="tcp://192.0.2.7:7077")
    zaptrace.connect("other").signal(signal.SIGHUP)

The verbs are those of the command line, and a pod made by one is known to the other. A pod outlives
the program that launched it. Every error is a ZaptraceError (see zaptrace.errors).
"""

from __future__ import annotations

import os

TYPE_CHECKING = (
    False  # as typing's, which takes long to load for a command line that is asked for help
)
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

    from .supervisor.control import Outcome
    from .supervisor.starter import Job

    Progress = Callable[[dict[str, Any]], None]

__all__ = ["PodHandle", "checkpoint", "connect", "launch", "migrate", "restore"]
__version__ = "0.1.0"


class PodHandle:
    """A pod that runs under its own supervisor. Not for use by several threads at once."""

    def __init__(self, name: str, instance: str | None = None) -> None:
        from .supervisor.control import Client

        self._client = Client(name, None, instance)
        self.name = name

    def status(self) -> dict[str, Any]:
        """What `zaptrace ps --json` shows: name, state, meta, processes."""
        return self._client.call("status", processes=True)

    def freeze(self) -> None:
        """Stop every process where it is."""
        self._client.call("freeze")

    def thaw(self) -> None:
        """Let a frozen pod go on."""
        self._client.call("thaw")

    def signal(self, number: int, vpid: int | None = None) -> None:
        """Send a signal to the root process, or to the process that the pod knows as `vpid`."""
        self._client.call("signal", signal=int(number), vpid=vpid)

    def stop(self, grace: float = 10.0) -> Outcome:
        """SIGTERM, `grace` seconds, SIGKILL; returns when nothing of the pod is left."""
        from .supervisor.control import Outcome

        return Outcome.from_dict(self._client.call("stop", grace=grace)["outcome"])

    def wait(self, timeout: float | None = None) -> Outcome:
        """How the pod ended, once it did. WireTimeout after `timeout` seconds."""
        return self._client.wait(timeout)

    def close(self) -> None:
        """Let go of the connection; the pod goes on."""
        self._client.close()

    def __enter__(self) -> PodHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def launch(
    argv: Sequence[str],
    *,
    name: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdio: tuple[int, int, int] | None = None,
) -> PodHandle:
    """Start a command in a new pod.

    `stdio` are three descriptors for it; without, stdin is /dev/null and the output goes to a log.
    """
    from .supervisor import runtime
    from .supervisor.starter import Job

    job = Job(
        "launch",
        runtime.place(),
        name,
        argv=[str(os.fsdecode(word)) for word in argv],
        cwd=os.path.abspath(cwd or os.getcwd()),
        env=dict(os.environ if env is None else env),
    )
    return _start(job, stdio)


def restore(
    image: str | os.PathLike[str],
    *,
    name: str | None = None,
    stdio: tuple[int, int, int] | None = None,
    allow_changed: Collection[str | os.PathLike[str]] = (),
) -> PodHandle:
    """Make a pod from an image; `name` and `stdio` as for `launch`.

    A file that the pod had open or mapped has to be what it was, unless it is in `allow_changed`.
    """
    from .supervisor import runtime
    from .supervisor.starter import Job

    job = Job(
        "restore",
        runtime.place(),
        name,
        image=os.path.abspath(image),
        allow_changed=[os.path.abspath(path) for path in allow_changed],
    )
    return _start(job, stdio)


def connect(name: str) -> PodHandle:
    """A running pod of this user on this host; PodError when there is none."""
    return PodHandle(name)


def checkpoint(
    pod: PodHandle | str,
    to: str | os.PathLike[str],
    *,
    then: str = "resume",
    codec: str | None = None,
    rehearsal: bool = True,
    outside: str = "refuse",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `pod` to the image `to`; `then` "resume" it or "stop" it. Returns the report.

    Before it stops the pod, a `rehearsal` restores the image beside it and throws that away.
    TCP connections to `outside` the pod are refused, or in the image have been reset ("close").
    """
    arguments = {
        "to": os.path.abspath(to),
        "then": then,
        "codec": codec,
        "rehearsal": rehearsal,
        "outside": outside,
    }
    return _call(pod, "checkpoint", progress, arguments)


def migrate(
    pod: PodHandle | str, to: str, *, progress: Progress | None = None, **options: object
) -> dict[str, Any]:
    """Move `pod` to the host server at `to` (tcp://host:port). Returns the report."""
    return _call(pod, "migrate", progress, {"to": to, "options": options})


def _start(job: Job, stdio: tuple[int, int, int] | None) -> PodHandle:
    from .supervisor.starter import start

    job.stdio = "log" if stdio is None else "inherit"
    with start(job, stdio or (0, 1, 2)) as started:
        return PodHandle(started.name, started.instance)


def _call(
    pod: PodHandle | str, verb: str, progress: Progress | None, arguments: dict[str, Any]
) -> dict[str, Any]:
    if isinstance(pod, str):
        with connect(pod) as handle:
            return _call(handle, verb, progress, arguments)
    report: dict[str, Any] = pod._client.call(verb, progress=progress, **arguments)["report"]
    return report

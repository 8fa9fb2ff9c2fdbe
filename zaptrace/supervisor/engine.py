"""What a supervisor does with a pod, as five calls; the tests put another engine in its place.

The heavy modules are loaded when they are needed, so that a short pod starts fast.
"""

from __future__ import annotations

from . import own_process

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from ..cancel import Cancel
    from ..image.sink import Sink
    from ..pod.checkpoint import Then
    from ..pod.counts import Refusal
    from ..pod.joining import Joined, Program
    from ..pod.pod import Pod
    from ..pod.stdio import Stdio
    from ..view.frozen import Outside
    from ..view.scrollback import Scrollback
    from .starter import Job

    Progress: TypeAlias = Callable[[dict[str, Any]], None]
    Shown: TypeAlias = Callable[[], Scrollback | None]
    """What the pod wrote to its terminal, asked while it does not run."""


class Engine:
    """What a supervisor does with a pod; the tests put another one in its place."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """What whoever asked for the pod should know of what became of it."""

    def warm(self) -> None:
        """Load what a restore needs."""
        from ..pod import pod, restore  # noqa: F401

        own_process.entitle("waiting")

    def launch(
        self, job: Job, stdio: tuple[int, int, int], master: int | None, cancel: Cancel
    ) -> Pod:
        """A running pod of `job.argv`; `master` is that of the pty that `stdio` is."""
        from ..pod.pod import Pod

        cancel.check()
        with own_process.umask(job.umask):
            return Pod.launch(
                job.argv,
                name=job.name or "",
                cwd=job.cwd,
                env=job.env,
                stdio=_stdio(job, stdio, master),
                cpu_level=job.cpu_level,
            )

    def restore(
        self, job: Job, stdio: tuple[int, int, int], master: int | None, cancel: Cancel
    ) -> Pod:
        """The pod of `job.image`, whole but still frozen."""
        from ..image.image import Image
        from ..pod.restore import restore

        with Image.open(str(job.image), progress=lambda *_: cancel.check()) as image:
            return restore(
                image,
                name=job.name,
                stdio=_stdio(job, stdio, master),
                hold=True,
                handed_over=job.hold,
                allow_changed=job.allow_changed,
                cut_back=job.cut_back,
                tell=self.notes.append,
                ports=job.ports,
                sockets=job.sockets,
                cancel=cancel,
            )

    def join(self, pod: Pod, program: Program, fds: list[int], cancel: Cancel) -> Joined:
        """A process more in `pod`, with these as its 0, 1 and 2, which stay the caller's."""
        from ..pod.joining import join

        return join(pod, program, fds, cancel)

    def refusals(self, pod: Pod) -> list[Refusal]:
        """What its programs were answered an errno to, on purpose."""
        from ..pod.counts import refusals

        return pod.glance(lambda: refusals(pod)) or []

    def keep_out(self, pod: Pod, signals: list[int], fd: int) -> None:
        """These signals do not come to the programs from outside the pod; eventfd `fd` tells of them."""
        from ..linux.native import lib

        mask = sum(1 << (number - 1) for number in set(signals))
        pod.call(lambda: lib.zt_pod_keep_out(pod.handle, mask, fd))

    def image_pod(self, path: str) -> dict[str, Any]:
        """What the manifest of an image says about its pod."""
        from ..image.image import read_manifest

        return dict(read_manifest(path).get("pod") or {})

    def checkpoint(
        self,
        pod: Pod,
        to: str,
        then: Then,
        codec: str | None,
        rehearsal: bool,
        outside: Outside,
        progress: Progress,
        cancel: Cancel,
        shown: Shown = lambda: None,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Write an image of `pod` to the path `to`; the report as a map."""
        from ..image.sink import DirectorySink
        from ..pod.checkpoint import checkpoint
        from .suitability import size_of

        total = size_of(pod)

        def step(room: str, done: int) -> None:
            progress({"step": room, "done": done, "total": max(total, done)})

        # zstd is what is taken when nothing is said: a pod that goes on does not wait for it.
        later = then == "resume" and codec == "zstd"
        sink = DirectorySink(to, codec, cancel, overwrite, later)
        rehearse = rehearsal and then == "stop"
        report = checkpoint(
            pod,
            sink,
            then=then,
            rehearsal=rehearse,
            outside=outside,
            progress=step,
            cancel=cancel,
            scrollback=shown,
        )
        return as_dict(report) | {"stored": sum(part.stored for part in sink.parts.values())}

    def attempt(self, pod: Pod, cancel: Cancel) -> dict[str, Any]:
        """A checkpoint of `pod`, rehearsed, that is thrown away."""
        from ..image.sink import DirectorySink
        from ..linux import scratch
        from ..pod.checkpoint import checkpoint

        with scratch.directory("zaptrace-try") as directory:
            sink = DirectorySink(f"{directory}/image", cancel=cancel)
            return as_dict(checkpoint(pod, sink, then="resume", rehearsal=True, cancel=cancel))

    def migrate(
        self,
        pod: Pod,
        to: str,
        options: dict[str, Any],
        progress: Progress,
        cancel: Cancel,
        shown: Shown = lambda: None,
    ) -> dict[str, Any]:
        """Hand `pod` over to the host server at `to`; on return it is not here any more."""
        from ..migration import send
        from ..pod.checkpoint import checkpoint
        from .suitability import facts_of

        outside: Outside = "close" if options.get("outside") == "close" else "refuse"

        def capture(sink: Sink) -> object:
            return checkpoint(
                pod, sink, then="hold", outside=outside, cancel=cancel, scrollback=shown
            )

        facts = facts_of(pod)
        known = {k: v for k, v in options.items() if k in ("config", "key", "name", "codec")}
        report = send(
            pod, to, capture=capture, facts=facts, progress=progress, cancel=cancel, **known
        )
        return as_dict(report)


def _stdio(job: Job, fds: tuple[int, int, int], master: int | None) -> Stdio:
    from ..pod.stdio import Stdio

    return Stdio(*fds, tty=master is not None, master=master, logs=job.images is not None)


def as_dict(value: object) -> dict[str, Any]:
    """A report or a process as a map: from a dataclass, an object, or a map."""
    if isinstance(value, dict):
        return value
    fields = getattr(value, "__dataclass_fields__", None) or vars(value)
    return {name: getattr(value, name) for name in fields}

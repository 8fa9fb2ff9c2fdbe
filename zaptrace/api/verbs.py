"""The functions that make, find and look at pods and images."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..errors import PodError, ZaptraceError
from ..supervisor import runtime
from ..supervisor.control import Client
from ..supervisor.starter import Job, Started, start
from . import arguments, host
from .arguments import File, StrOrBytesPath
from .pod import OnExit, Pod
from .results import Check, ImageInfo

_ON_EXIT = ("leave", "stop")


def launch(
    argv: StrOrBytesPath | Sequence[StrOrBytesPath],
    *,
    name: str | None = None,
    cwd: StrOrBytesPath | None = None,
    env: Mapping[str, str] | None = None,
    stdio: tuple[File, File, File] | None = None,
    on_exit: OnExit = "leave",
) -> Pod:
    """Start a command in a new pod; its name is made from the command when none is given.

    `stdio` are three files for it; without, stdin is /dev/null and the output goes to a log
    (Pod.logs). `on_exit` says what the end of a `with` block does to the pod: nothing, or "stop".
    """
    return begin(to_launch(argv, name, cwd, env), stdio, on_exit)


def restore(
    image: StrOrBytesPath,
    *,
    name: str | None = None,
    stdio: tuple[File, File, File] | None = None,
    allow_changed: Collection[StrOrBytesPath] = (),
    ports: Mapping[int, int] | None = None,
    sockets: Mapping[str, str] | None = None,
    on_exit: OnExit = "leave",
) -> Pod:
    """Make a pod from an image; `name`, `stdio` and `on_exit` as for `launch`.

    A file that the pod had open or mapped has to be what it was, unless it is in `allow_changed`. Who
    listens at a port of `ports` does so at the one that it is mapped to; a unix socket that is bound to a
    path of `sockets` is bound to another.
    """
    return begin(to_restore(image, name, allow_changed, ports, sockets), stdio, on_exit)


def connect(name: str, *, on_exit: OnExit = "leave") -> Pod:
    """The running pod `name` of this user on this host; PodError when there is none."""
    if arguments.name_of_pod(name) is None:
        raise TypeError("name: a str is needed, not None")
    root = runtime.place()
    with Client(name, root) as client:
        instance = str(client.instance or "")
    return Pod(name, instance, root, _choice(on_exit))


def pods() -> list[Pod]:
    """The pods of this user that run on this host, by name."""
    root = runtime.place()
    found = []
    for name in runtime.pods(root):
        if instance := runtime.read_meta(os.path.join(root, name)).get("instance"):
            found.append(Pod(name, instance, root))
    return found


def current() -> Pod | None:
    """The pod that we are a process of, if we are of one."""
    for pod in pods():
        with contextlib.suppress(ZaptraceError):
            if pod._status(processes=True).get("inside"):
                return pod
    return None


def check(
    what: Pod | StrOrBytesPath | None = None, *, allow_changed: Collection[StrOrBytesPath] = ()
) -> Check:
    """What this host can do, if a pod can be checkpointed, or if an image can be restored here.

    `what` is nothing for the host, a Pod or the name of one that runs, or the path of an image. A pod
    is frozen for a moment, and nothing is kept; of an image nothing is made.
    """
    if what is None:
        abilities = tuple(host.abilities())
        return Check(all(a.ok for a in abilities if a.needed), abilities=abilities)
    allowed = arguments.paths("allow_changed", allow_changed)
    if isinstance(what, Pod):
        return _check_pod(what)
    if isinstance(what, str) and what in runtime.pods(runtime.place()):
        return _check_pod(connect(what))
    image = arguments.path("what", what)
    if not os.path.isdir(image):
        raise PodError(
            f"there is neither a pod nor an image {os.fsdecode(what)!r}",
            needed="the name of a running pod, or the directory of an image",
            do="zaptrace.pods() lists the pods",
            changed="nothing",
        )
    return _check_image(image, allowed)


def show(image: StrOrBytesPath) -> ImageInfo:
    """What is in an image, verified first: every byte is compared with its checksum."""
    from ..image.image import Image
    from ..pod.contents import read
    from ..resources.room import encode_state

    with Image.open(arguments.path("image", image)) as opened:
        found = read(opened)
        manifest, parts = opened.manifest, opened.parts.values()
        states: dict[str, list[dict[str, Any]]] = {
            room.NAME: encode_state(of) for room, of in found.rooms
        }
        return ImageInfo(
            image=str(opened.directory),
            pod=found.pod.name,
            created=datetime.fromtimestamp(manifest["created"], UTC),
            host=str(manifest["host"].get("node")),
            kernel=str(manifest["host"].get("kernel")),
            processes=tuple(state["vpid"] for state in states.get("process", [])),
            threads=found.pod.threads,
            bytes=sum(part.size for part in parts),
            stored=sum(part.stored for part in parts),
            states=states,
        )


def to_launch(
    argv: StrOrBytesPath | Sequence[StrOrBytesPath],
    name: str | None,
    cwd: StrOrBytesPath | None,
    env: Mapping[str, str] | None,
) -> Job:
    """What `launch` asks for, looked at."""
    return Job(
        "launch",
        runtime.place(),
        arguments.name_of_pod(name),
        argv=arguments.words(argv),
        cwd=arguments.directory(cwd),
        env=arguments.environment(env),
    )


def to_restore(
    image: StrOrBytesPath,
    name: str | None,
    allow_changed: Collection[StrOrBytesPath],
    ports: Mapping[int, int] | None,
    sockets: Mapping[str, str] | None,
) -> Job:
    """What `restore` asks for, looked at."""
    return Job(
        "restore",
        runtime.place(),
        arguments.name_of_pod(name),
        image=arguments.path("image", image),
        allow_changed=arguments.paths("allow_changed", allow_changed),
        ports=arguments.ports(ports),
        sockets=arguments.sockets(sockets),
    )


def begin(
    job: Job,
    stdio: tuple[File, File, File] | None,
    on_exit: OnExit,
    gives_up: Callable[[], bool] = lambda: False,
) -> Pod:
    """Have it made, unless `gives_up` says that nobody wants it any more."""
    given = arguments.files(stdio)
    chosen = _choice(on_exit)
    job.stdio = "log" if given is None else "inherit"
    with _names.one_for(job), _started(job, given or (0, 1, 2), gives_up) as started:
        return Pod(started.name, started.instance, started.root, chosen)


def _started(job: Job, given: tuple[int, int, int], gives_up: Callable[[], bool]) -> Started:
    chosen = job.name
    try:
        return start(job, given, gives_up=gives_up)
    except PodError as error:
        if chosen not in _names.taken or not error.what.endswith("the name is taken"):
            raise
    job.name = None  # somebody else was faster: the supervisor takes what is free
    return start(job, given, gives_up=gives_up)


class _Names:
    """Names for pods that are given none: the end of each can be told as long as its handle lives, and
    not that of a later one, so names of pods that have ended are not taken again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken: set[str] = set()

    @contextlib.contextmanager
    def one_for(self, job: Job) -> Iterator[None]:
        if job.name is not None or job.verb != "launch":
            yield
            return
        with self._lock:
            taken = {*self.taken, *runtime.ended_names(job.root)}
            name = runtime.free_name(job.argv[0], job.root, taken)
            self.taken.add(name)
        job.name = name
        try:
            yield
        finally:
            with self._lock:
                self.taken.discard(name)


_names = _Names()


def _choice(on_exit: OnExit) -> OnExit:
    arguments.one_of("on_exit", on_exit, _ON_EXIT)
    return on_exit


def _check_pod(pod: Pod) -> Check:
    try:
        pod._call("try")
    except PodError:
        raise
    except ZaptraceError as error:
        return Check(False, (error,))
    return Check(True)


def _check_image(image: str, allowed: Collection[str]) -> Check:
    from ..image.image import Image
    from ..pod.restore import claim

    with Image.open(image) as opened:
        problems = tuple(claim(opened, allow_changed=tuple(allowed)))
    return Check(not problems, problems)

"""A pod as a Python object: a handle on what runs under a supervisor of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ..errors import PodError, WireError, WireTimeout, ZaptraceError
from ..supervisor import runtime
from ..supervisor.control import Client
from . import arguments, output
from .results import (
    Executed,
    MigrationReport,
    OnProgress,
    Outcome,
    Process,
    Progress,
    Report,
    fields_of,
)

Outside: TypeAlias = Literal["refuse", "close"]
Codec: TypeAlias = Literal["none", "lz4", "zstd"]
OnExit: TypeAlias = Literal["leave", "stop"]
_OUTSIDE = ("refuse", "close")
_REPR_S = 1.0


class Pod:
    """A pod of this user on this host, made by `launch`, `restore`, `connect` or `pods`.

    It stands for that very pod: one that later has the same name is another. It holds nothing open,
    may be used by several threads, compared, hashed and pickled. A pod outlives its handles; as a
    context manager one ends its pod when it was made with `on_exit="stop"`.
    """

    def __init__(self, name: str, instance: str, root: str, on_exit: OnExit = "leave") -> None:
        self.name: str = name
        self._instance = instance
        self._root = root
        self._on_exit = on_exit
        self._gives_up: Callable[[], bool] | None = None

    # -- looking

    @property
    def state(self) -> str:
        """running · frozen · checkpointing · migrating · ... · ended"""
        try:
            return str(self._status()["state"])
        except PodError:
            if self._client_alive():
                raise
            return "ended"

    def processes(self) -> list[Process]:
        """Those that live in it; of a process that ended and was not waited for, the state is "Z"."""
        told = self._status(processes=True)["processes"]
        return [Process(**fields_of(Process, one)) for one in told]

    def logs(self) -> str:
        """What it wrote so far: to its log, or of a pod with a terminal the scrollback.

        Of a pod that has ended, too, until another of that name ends.
        """
        return b"".join(output.written(self._client())).decode(errors="replace")

    def follow(self) -> Generator[bytes]:
        """What it wrote so far, and what it writes until it ends, in pieces as they come."""
        return output.written(self._client(), to_the_end=True)

    # -- acting

    def freeze(self) -> None:
        """Stop every process where it is."""
        self._call("freeze")

    def thaw(self) -> None:
        """Let a frozen pod go on. What is being done to it meanwhile is given up."""
        self._call("thaw")

    def signal(self, sig: int, vpid: int | None = None, *, group: bool = False) -> None:
        """Send a signal to the root process, to process `vpid`, or to the root's process `group`."""
        if group and vpid is not None:
            raise ValueError("vpid and group: one of them, not both")
        number = arguments.signal(sig)
        process, alive = arguments.vpid(vpid), self._client_alive()
        try:
            self._call("signal", signal=number, vpid=process, group=bool(group))
        except PodError:
            if not alive or self._client_alive():
                raise  # else the signal has ended it before that was answered

    def exec(
        self,
        argv: arguments.StrOrBytesPath | Sequence[arguments.StrOrBytesPath],
        *,
        cwd: arguments.StrOrBytesPath | None = None,
        env: Mapping[str, str] | None = None,
        stdio: tuple[arguments.File, arguments.File, arguments.File] | None = None,
        detach: bool = False,
        timeout: float | None = None,
    ) -> Executed:
        """Start a command as a new process of the pod, which runs; returns when that has ended.

        It has our directory and environment, as with `launch`, and is a process of the pod as any other:
        images and migrations carry it along. `stdio` are three files for it; without, stdin is /dev/null,
        and what it writes is in what is returned. With `detach` that is the pod's log, and we do not
        wait. After `timeout` seconds, as by ctrl-c, it is killed, and TimeoutError raised.
        """
        from ..linux import private
        from .executing import run

        if detach and (stdio is not None or timeout is not None):
            raise ValueError("detach: with neither stdio nor timeout")
        asked = {
            "argv": list(map(os.fsencode, arguments.words(argv))),
            "cwd": os.fsencode(arguments.directory(cwd)),
            "env": [os.fsencode(f"{k}={v}") for k, v in arguments.environment(env).items()],
            "umask": private.umask(),
        }
        files, seconds = arguments.files(stdio), arguments.timeout(timeout)
        if detach:
            return Executed(int(self._call("exec", detach=True, **asked)["vpid"]), None)
        with self._client() as client:
            return run(client, asked, files, seconds)

    def stop(self, grace: float = 10.0, *, kill: bool = False) -> Outcome:
        """SIGTERM, `grace` seconds, SIGKILL; `kill` at once. Returns when nothing of it is left."""
        seconds = arguments.grace(grace)
        return Outcome.of(self._call("stop", grace=seconds, kill=bool(kill))["outcome"])

    def wait(self, timeout: float | None = None) -> Outcome:
        """How the pod ended, once it did. Raises TimeoutError when it has not after `timeout` seconds."""
        seconds = arguments.timeout(timeout)
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._client() as client:
            try:
                return Outcome.of(client.wait(seconds).to_dict())
            except WireTimeout:
                if (past := client.past()) is not None:  # it has, and its supervisor is tidying up
                    return Outcome.of(past.to_dict())
                if deadline is None or time.monotonic() < deadline:
                    raise
        raise TimeoutError(f"pod {self.name!r} has not ended after {timeout} s")

    def attach(self) -> Outcome | None:
        """Join our terminal to that of the pod: how it ended, or None when we detached (ctrl-\\ d).

        Raises PodError for a pod without a terminal, and where we have none.
        """
        import subprocess

        from ..supervisor.starter import python

        if not (sys.stdin and sys.stdin.isatty()):
            raise PodError(
                f"cannot attach to pod {self.name!r}: there is no terminal",
                needed="a terminal at stdin",
                found="none",
                do="pod.follow() gives what a pod without a terminal writes",
                changed="nothing",
            )
        with self._client() as client:
            if runtime.read_meta(client.path).get("stdio") != "tty":
                raise PodError(
                    f"cannot attach to pod {self.name!r}: it has no terminal",
                    needed="a pod that was started from a terminal",
                    do="pod.follow() gives what it writes",
                    changed="nothing",
                )
            environment = {**os.environ, "ZAPTRACE_RUNTIME_DIR": self._root}
            command = python("zaptrace.cli", "main", "attach", self.name)
            subprocess.run(command, env=environment, check=False)
            past = client.past()
        return Outcome.of(past.to_dict()) if past else None

    # -- carrying

    def checkpoint(
        self,
        to: arguments.StrOrBytesPath,
        *,
        stop: bool = False,
        codec: Codec = "zstd",
        rehearsal: bool = True,
        outside: Outside = "refuse",
        overwrite: bool = False,
        scrollback: bool = True,
        progress: OnProgress | None = None,
    ) -> Report:
        """Write the pod to the image `to`; it goes on, or ends with `stop`.

        An image that is there already is replaced by the new one, once that is whole, with `overwrite`.
        `scrollback` is what was on the screen of its terminal, and before.

        Before it stops the pod, a `rehearsal` restores the image beside it and throws that away.
        Connections (TCP, unix) to `outside` the pod are refused, or in the image have been cut ("close").
        `progress` is called now and then, and once at the end. ctrl-c gives it up: then there is no
        image, and the pod goes on.
        """
        image = arguments.path("to", to)
        told = self._carry(
            "checkpoint",
            progress,
            to=image,
            then="stop" if stop else "resume",
            codec=arguments.codec(codec),
            rehearsal=bool(rehearsal),
            outside=arguments.one_of("outside", outside, _OUTSIDE),
            overwrite=bool(overwrite),
            scrollback=bool(scrollback),
        )
        return Report(**{**fields_of(Report, told), "image": image})

    def migrate(
        self,
        to: str,
        *,
        key: str | None = None,
        name: str | None = None,
        codec: Codec | None = None,
        outside: Outside = "refuse",
        scrollback: bool = True,
        progress: OnProgress | None = None,
    ) -> MigrationReport:
        """Move the pod to the host server at `to` (tcp://host:port), which knows our key.

        `key` is the server's, when it is not known here yet; `name` what the pod is called there.
        Whatever fails before the other side has the whole pod, it goes on here.
        """
        endpoint = arguments.text("to", to, "tcp://HOST:PORT")
        options = {
            "key": None if key is None else arguments.text("key", key),
            "name": arguments.name_of_pod(name),
            "codec": arguments.codec(codec),
            "outside": arguments.one_of("outside", outside, _OUTSIDE),
            # The supervisor may have been started with another configuration directory than ours.
            "config": os.environ.get("ZAPTRACE_CONFIG_DIR"),
        }
        given = {k: v for k, v in options.items() if v is not None}
        told = self._carry(
            "migrate", progress, to=endpoint, options=given, scrollback=bool(scrollback)
        )
        return MigrationReport(**fields_of(MigrationReport, told))

    def branch(
        self,
        name: str,
        to: arguments.StrOrBytesPath,
        *,
        ports: Mapping[int, int] | None = None,
        sockets: Mapping[str, str] | None = None,
    ) -> Pod:
        """A second live pod, called `name`, from the image `to` that this writes; both go on.

        Who listens at a port of `ports` does so at another in the second, and a unix socket that is bound
        to a path of `sockets` is bound to another. Connections (TCP, unix) to outside the pod are cut
        there. A process of the pod itself may ask for this: in the second pod, that is a PodError.
        """
        wanted = arguments.name_of_pod(name)
        if wanted is None:
            raise TypeError("name: a str is needed, not None")
        image, others = arguments.path("to", to), arguments.ports(ports)
        paths = arguments.sockets(sockets)
        inside = self._status(processes=True).get("inside")
        self.checkpoint(image, codec="none", outside="close")
        if inside:
            pairs = list(map(list, others.items()))
            told = self._call("branch", image=image, name=wanted, ports=pairs, sockets=paths)
            return Pod(told["name"], told["instance"], self._root)
        from ..supervisor.again import branch

        with branch(self._root, wanted, image, others, paths) as started:
            return Pod(started.name, started.instance, started.root)

    def rollback(
        self,
        image: arguments.StrOrBytesPath,
        *,
        allow_changed: Collection[arguments.StrOrBytesPath] = (),
    ) -> Pod:
        """Put the pod back to what `image` holds, which goes on under its name; returns that pod.

        What the pod is now is lost, once the image's is whole: if that cannot be restored, the pod goes
        on as it was. From inside the pod there is no return: the image goes on where it was made.
        """
        path = arguments.path("image", image)
        allowed = arguments.paths("allow_changed", allow_changed)
        if self._status(processes=True).get("inside"):
            self._call("rollback", image=path, allow_changed=allowed)
        from ..supervisor.again import roll_back

        with self._client() as client, roll_back(client, path, allowed) as started:
            return Pod(started.name, started.instance, started.root, self._on_exit)

    # -- as an object

    def __repr__(self) -> str:
        return f"<Pod {self.name!r} {self._described()}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pod) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self) -> tuple[Any, ...]:
        return Pod, (self.name, self._instance, self._root, self._on_exit)

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        if self._on_exit == "stop":
            try:
                self.stop()
            except PodError:  # it has ended, or is elsewhere
                if self._client_alive():
                    raise

    # -- below

    def _identity(self) -> tuple[str, str, str]:
        return self.name, self._instance, self._root

    def _described(self) -> str:
        try:
            with self._client() as client:
                if client.alive():
                    return str(client.call("status", timeout=_REPR_S)["state"])
                past = client.past()
        except (PodError, WireError):
            return "ended" if not self._client_alive() else "without an answer"
        except (ZaptraceError, OSError):
            return "unknown"
        return runtime.describe_end(past.to_dict()) if past else "ended"

    def _client(self) -> Client:
        client = Client(self.name, self._root, self._instance)
        if self._gives_up is not None:
            client.gives_up = self._gives_up
        return client

    def _client_alive(self) -> bool:
        with self._client() as client:
            return client.alive()

    def _status(self, **asked: Any) -> dict[str, Any]:
        return self._call("status", **asked)

    def _call(self, verb: str, **given: Any) -> dict[str, Any]:
        with self._client() as client:
            return client.call(verb, **given)

    def _carry(self, verb: str, progress: OnProgress | None, **given: Any) -> dict[str, Any]:
        arguments.function("progress", progress)
        told = _Told(progress)
        with self._client() as client:
            report = client.call(verb, progress=told.hear if progress else None, **given)["report"]
        told.end()
        return dict(report)


class _Told:
    """From the messages of a supervisor to what a caller hears."""

    def __init__(self, progress: OnProgress | None) -> None:
        self._progress = progress
        self._last = Progress("start", 0, 0)

    def hear(self, message: dict[str, Any]) -> None:
        done = max(int(message.get("done") or 0), self._last.done)
        total = max(int(message.get("total") or 0), self._last.total, done)
        self._tell(Progress(str(message.get("step") or self._last.step), done, total))

    def end(self) -> None:
        self._tell(Progress("done", self._last.total, self._last.total))

    def _tell(self, progress: Progress) -> None:
        self._last = progress
        if self._progress is not None:
            self._progress(progress)


def given_up_by(pod: Pod, gives_up: Callable[[], bool]) -> Pod:
    """Another handle on the same pod, whose calls are given up when somebody says so."""
    other = Pod(pod.name, pod._instance, pod._root, pod._on_exit)
    other._gives_up = gives_up
    return other

"""zaptrace.Pod for asyncio: each of its calls is one of that, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..api import pod as blocking
from ..api.arguments import File, StrOrBytesPath
from ..api.pod import Codec, Outside
from ..api.results import (
    Executed,
    MigrationReport,
    OnProgress,
    Outcome,
    Process,
    Progress,
    Report,
)
from .calls import call, each

P = ParamSpec("P")
T = TypeVar("T")


class Pod:
    """A pod of this user on this host; see zaptrace.Pod."""

    def __init__(self, of: blocking.Pod) -> None:
        self._of = of
        self.name: str = of.name

    async def state(self) -> str:
        """running · frozen · checkpointing · migrating · ... · ended"""
        return await call(lambda gives_up: blocking.given_up_by(self._of, gives_up).state)

    async def processes(self) -> list[Process]:
        """As zaptrace.Pod.processes."""
        return await self._call(blocking.Pod.processes)

    async def logs(self) -> str:
        """As zaptrace.Pod.logs."""
        return await self._call(blocking.Pod.logs)

    def follow(self) -> AsyncIterator[bytes]:
        """What it wrote so far, and what it writes until it ends, in pieces as they come."""
        return each(lambda gives_up: blocking.given_up_by(self._of, gives_up).follow())

    async def freeze(self) -> None:
        """As zaptrace.Pod.freeze."""
        await self._call(blocking.Pod.freeze)

    async def thaw(self) -> None:
        """As zaptrace.Pod.thaw."""
        await self._call(blocking.Pod.thaw)

    async def signal(self, sig: int, vpid: int | None = None, *, group: bool = False) -> None:
        """As zaptrace.Pod.signal."""
        await self._call(blocking.Pod.signal, sig, vpid, group=group)

    async def exec(
        self,
        argv: StrOrBytesPath | Sequence[StrOrBytesPath],
        *,
        cwd: StrOrBytesPath | None = None,
        env: Mapping[str, str] | None = None,
        stdio: tuple[File, File, File] | None = None,
        detach: bool = False,
        timeout: float | None = None,
    ) -> Executed:
        """As zaptrace.Pod.exec; when it is cancelled the process is killed."""
        return await self._call(
            blocking.Pod.exec,
            argv,
            cwd=cwd,
            env=env,
            stdio=stdio,
            detach=detach,
            timeout=timeout,
        )

    async def stop(self, grace: float = 10.0, *, kill: bool = False) -> Outcome:
        """As zaptrace.Pod.stop."""
        return await self._call(blocking.Pod.stop, grace, kill=kill)

    async def wait(self, timeout: float | None = None) -> Outcome:
        """As zaptrace.Pod.wait."""
        return await self._call(blocking.Pod.wait, timeout)

    async def attach(self) -> Outcome | None:
        """As zaptrace.Pod.attach."""
        return await self._call(blocking.Pod.attach)

    async def checkpoint(
        self,
        to: StrOrBytesPath,
        *,
        stop: bool = False,
        codec: Codec = "zstd",
        rehearsal: bool = True,
        outside: Outside = "refuse",
        overwrite: bool = False,
        scrollback: bool = True,
        progress: OnProgress | None = None,
    ) -> Report:
        """As zaptrace.Pod.checkpoint; `progress` is called in the loop's thread."""
        return await self._call(
            blocking.Pod.checkpoint,
            to,
            stop=stop,
            codec=codec,
            rehearsal=rehearsal,
            outside=outside,
            overwrite=overwrite,
            scrollback=scrollback,
            progress=_in_the_loop(progress),
        )

    async def migrate(
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
        """As zaptrace.Pod.migrate; `progress` is called in the loop's thread."""
        return await self._call(
            blocking.Pod.migrate,
            to,
            key=key,
            name=name,
            codec=codec,
            outside=outside,
            scrollback=scrollback,
            progress=_in_the_loop(progress),
        )

    async def branch(
        self,
        name: str,
        to: StrOrBytesPath,
        *,
        ports: Mapping[int, int] | None = None,
        sockets: Mapping[str, str] | None = None,
    ) -> Pod:
        """As zaptrace.Pod.branch."""
        return Pod(await self._call(blocking.Pod.branch, name, to, ports=ports, sockets=sockets))

    async def rollback(
        self, image: StrOrBytesPath, *, allow_changed: Collection[StrOrBytesPath] = ()
    ) -> Pod:
        """As zaptrace.Pod.rollback."""
        return Pod(await self._call(blocking.Pod.rollback, image, allow_changed=allow_changed))

    def __repr__(self) -> str:
        return repr(self._of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pod) and self._of == other._of

    def __hash__(self) -> int:
        return hash(self._of)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pod, (self._of,)

    async def __aenter__(self) -> Pod:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._call(blocking.Pod.__exit__)

    async def _call(
        self,
        method: Callable[Concatenate[blocking.Pod, P], T],
        *given: P.args,
        **named: P.kwargs,
    ) -> T:
        return await call(
            lambda gives_up: method(blocking.given_up_by(self._of, gives_up), *given, **named)
        )


def _in_the_loop(progress: OnProgress | None) -> OnProgress | None:
    if progress is None or not callable(progress):
        return progress
    loop = asyncio.get_running_loop()

    def told(one: Progress) -> None:
        loop.call_soon_threadsafe(progress, one)

    return told

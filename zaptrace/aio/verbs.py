"""The functions of zaptrace for asyncio."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..api import verbs
from ..api.arguments import File, StrOrBytesPath
from ..api.pod import OnExit, given_up_by
from ..api.results import Check, ImageInfo
from .calls import GivesUp, call
from .pod import Pod


async def launch(
    argv: StrOrBytesPath | Sequence[StrOrBytesPath],
    *,
    name: str | None = None,
    cwd: StrOrBytesPath | None = None,
    env: Mapping[str, str] | None = None,
    stdio: tuple[File, File, File] | None = None,
    on_exit: OnExit = "leave",
) -> Pod:
    """As zaptrace.launch."""
    job = verbs.to_launch(argv, name, cwd, env)
    return Pod(await call(lambda gives_up: verbs.begin(job, stdio, on_exit, gives_up)))


async def restore(
    image: StrOrBytesPath,
    *,
    name: str | None = None,
    stdio: tuple[File, File, File] | None = None,
    allow_changed: Collection[StrOrBytesPath] = (),
    ports: Mapping[int, int] | None = None,
    sockets: Mapping[str, str] | None = None,
    on_exit: OnExit = "leave",
) -> Pod:
    """As zaptrace.restore."""
    job = verbs.to_restore(image, name, allow_changed, ports, sockets)
    return Pod(await call(lambda gives_up: verbs.begin(job, stdio, on_exit, gives_up)))


async def connect(name: str, *, on_exit: OnExit = "leave") -> Pod:
    """As zaptrace.connect."""
    return Pod(await call(lambda _: verbs.connect(name, on_exit=on_exit)))


async def pods() -> list[Pod]:
    """As zaptrace.pods."""
    return [Pod(one) for one in await call(lambda _: verbs.pods())]


async def current() -> Pod | None:
    """As zaptrace.current."""
    found = await call(lambda _: verbs.current())
    return Pod(found) if found else None


async def check(
    what: Pod | StrOrBytesPath | None = None, *, allow_changed: Collection[StrOrBytesPath] = ()
) -> Check:
    """As zaptrace.check."""

    def work(gives_up: GivesUp) -> Check:
        of = given_up_by(what._of, gives_up) if isinstance(what, Pod) else what
        return verbs.check(of, allow_changed=allow_changed)

    return await call(work)


async def show(image: StrOrBytesPath) -> ImageInfo:
    """As zaptrace.show."""
    return await call(lambda _: verbs.show(image))

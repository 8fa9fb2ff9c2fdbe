"""Which pods a verb is for: one by name or by --latest, several, or all; several are done side by side."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import click

from ..errors import Cancelled, NoImage, NoSuchPod, ZaptraceError
from ..supervisor import last_image, runtime
from ._tell import print_json, say

_AT_ONCE = 32

Work = Callable[[str, Callable[[], bool]], dict[str, Any]]
"""What is done with a pod of that name, unless the function says that nobody wants it any more."""


def latest_pod(ended: bool = False) -> str:
    """The pod that was started last; of those that have `ended` as well."""
    base = runtime.root()
    metas = {name: runtime.read_meta(base / name) for name in runtime.pods(base)}
    for name in runtime.ended_names(base) if ended else ():
        if name not in metas and (past := runtime.ended(name, base)) is not None:
            metas[name] = runtime.ended_meta(past)
    started = {name: meta["started"] for name, meta in metas.items() if "started" in meta}
    if not started:
        raise NoSuchPod(
            "there is no latest pod",
            needed="a pod of this user on this host",
            found="none" if ended else "none is running",
            do="zaptrace ps -a lists those that ended, too",
            changed="nothing",
        )
    return max(started, key=lambda name: started[name])


def latest_image() -> str:
    """The image that a pod of this user on this host was written to last."""
    if (found := last_image.read(runtime.root())) is not None and os.path.isdir(found):
        return found
    raise NoImage(
        "there is no latest image",
        needed="an image that a pod of this user was written to on this host",
        found=f"{found}, which is not there any more" if found else "none",
        do="name the image",
        changed="nothing",
    )


class TakesPod(click.Command):
    """A verb of one pod, by its name or --latest."""

    means = "POD: the one that was started last."

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params.append(
            click.Option(
                ["--latest"], is_flag=True, expose_value=False, help=f"In place of {self.means}"
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the name where --latest stood; first, where it may stand anywhere."""
        ours = args.index("--") if "--" in args else len(args)
        if "--latest" in args[:ours]:
            at = args.index("--latest")
            rest = args[:at] + args[at + 1 :]
            at = 0 if ctx.allow_interspersed_args else at
            args = [*rest[:at], self.latest(), *rest[at:]]
        return super().parse_args(ctx, args)

    def latest(self) -> str:
        """What --latest stands for."""
        return latest_pod()


class TakesPast(TakesPod):
    """A verb of one pod that may have ended."""

    means = "POD: the one that was started last, even if it has ended."

    def latest(self) -> str:
        """What --latest stands for."""
        return latest_pod(ended=True)


class TakesImage(TakesPod):
    """A verb of one image, by its path or --latest."""

    means = "IMAGE: the one that was made last."

    def latest(self) -> str:
        """What --latest stands for."""
        return latest_image()


every = click.option("--all", "all_", is_flag=True, help="Every pod of this user on this host.")


def chosen(names: Sequence[str], all_: bool) -> list[str]:
    """The pods that are meant, each once."""
    if bool(names) == all_:
        raise click.UsageError(
            "name one or more pods, or say --all" if not names else "POD or --all"
        )
    if all_ and not (names := runtime.pods(runtime.root())):
        say("no pod is running")
    return list(dict.fromkeys(names))


def side_by_side(
    names: Sequence[str], work: Work, tell: Callable[[dict[str, Any]], None], as_json: bool
) -> int:
    """Do it with each, at the same time; a line, or an error, of each when it is done.

    Returns the exit status: 0, or that of the first of `names` with which it failed.
    """
    from . import _failure

    given_up = threading.Event()
    done: queue.SimpleQueue[tuple[str, dict[str, Any] | BaseException]] = queue.SimpleQueue()
    turn = threading.BoundedSemaphore(_AT_ONCE)

    def one(name: str) -> None:
        try:
            with turn:
                done.put((name, work(name, given_up.is_set)))
        except BaseException as error:
            done.put((name, error))

    for name in names:
        threading.Thread(target=one, args=(name,), daemon=True).start()
    told: dict[str, dict[str, Any]] = {}
    statuses: dict[str, int] = {}
    while len(told) < len(names):
        try:
            name, result = done.get()
        except KeyboardInterrupt:
            given_up.set()
            continue
        if isinstance(result, KeyboardInterrupt):
            result = Cancelled(f"given up: pod {name!r}", changed="nothing of that pod")
        if isinstance(result, BaseException):
            statuses[name] = _failure.told(result, [])
            error = result.to_dict() if isinstance(result, ZaptraceError) else str(result)
            result = {"pod": name, "error": error, "exit": statuses[name]}
        elif not as_json:
            tell(result)
        told[name] = result
    if as_json:
        print_json([told[name] for name in names])
    return next((statuses[name] for name in names if statuses.get(name)), 0)

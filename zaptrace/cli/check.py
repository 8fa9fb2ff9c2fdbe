"""zaptrace check: can this host, pod or image do it?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ..errors import PodError, ZaptraceError
from ..supervisor import runtime
from ..text import shown
from ._common import POD, allow_changed, as_json, connect, size, span
from ._tell import print_json
from ._topics import topic_of
from ._which import TakesImage

_COMMAND = "zaptrace.check.command"

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Check(TakesImage):
    """Keeps what is behind `--` apart: it is a command line, and no pod."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with what is before it."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(cls=_Check)
@click.argument("what", metavar="[POD|IMAGE]", required=False, type=POD)
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With a COMMAND: how long it runs before it is looked at.",
)
@allow_changed
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    what: str | None,
    seconds: float,
    allow_changed: tuple[str, ...],
    as_json: bool,
) -> int:
    """See what this host can do, if POD can be moved, or if IMAGE can be restored here.

    \b
    zaptrace check             what zaptrace needs of this host, each thing tried
    zaptrace check web         would a checkpoint of this pod work? It is frozen for a moment.
    zaptrace check web.zap     would a restore of this image work here? Nothing is made.
    zaptrace check job.images  the same, of the newest good one of a job's images
    zaptrace check --latest    the same, of the image that was made last
    zaptrace check -- ./serve  runs that for a moment: could it be carried?

    A no says because of what, what that costs you, and what to do. Files that the pod wrote to and
    that have grown since the image was made are named: it would write the same again. Exit status 1
    when no pod can run here, or this one cannot be checkpointed, or that image not be restored.
    """
    if (command_line := ctx.meta.get(_COMMAND)) is not None:
        if what is not None or not command_line:
            raise click.UsageError("a pod, an image, or a command behind --")
        return _program(command_line, seconds, as_json)
    if what is None:
        return _host(as_json)
    if runtime.pods(runtime.root()).count(what):
        return _pod(what, as_json)
    if os.path.isdir(what):
        return _image(what, allow_changed, as_json)
    raise PodError(
        f"there is neither a pod nor an image {what!r}",
        needed="the name of a running pod, or the directory of an image",
        do="zaptrace ps lists the pods",
    )


def _host(as_json: bool) -> int:
    from ..api.host import abilities

    found = abilities()
    if as_json:
        print_json([vars(a) for a in found])
    else:
        for a in found:
            click.echo(f"{_mark(a.ok)} {a.name:<17} {shown(a.because)}")
            for word, text in (("costs", a.costs), ("do", a.do)):
                if text:
                    click.echo(f"{'':<6}{word:<17} {shown(text)}")
    return 0 if all(a.ok for a in found if a.needed) else 1


def _pod(name: str, as_json: bool) -> int:
    with connect(name) as client:
        try:
            report = client.call("try")["report"]
        except PodError:
            raise
        except ZaptraceError as e:
            return _tell(f"pod {name}", "be checkpointed", [e], as_json)
    if as_json:
        print_json({"ok": True, **report})
    else:
        moved, stood = size(report["bytes"]), span(report["downtime_s"])
        click.echo(f"{_mark(True)} pod {shown(name)} can be checkpointed")
        click.echo(f"{'':<6}tried: {moved}, and it stood still for {stood}; nothing was kept")
    return 0


def _program(command_line: list[str], seconds: float, as_json: bool) -> int:
    """It may have ended by then, which is an answer too: nothing was there to be looked at."""
    from ..api.verbs import launch

    with launch(command_line, on_exit="stop") as pod:
        try:
            outcome = pod.wait(seconds)
        except TimeoutError:
            return _pod(pod.name, as_json)
        said = pod.logs()
    raise PodError(
        f"{command_line[0]} ended before it was looked at",
        needed=f"a program that runs for {seconds:g} s",
        found=f"exit status {outcome.returncode}; it wrote: {said[-400:].strip() or 'nothing'}",
        do="look earlier: zaptrace check --for SECONDS -- COMMAND",
        changed="nothing",
    )


def _image(path: str, allow_changed: tuple[str, ...], as_json: bool) -> int:
    from ..pod.contents import read
    from ..pod.growth import grown
    from ..pod.newest import open_newest
    from ..pod.restore import claim

    notes: list[str] = []
    try:
        image, passed_over = open_newest(path)
        with image:
            path = image.directory
            errors = claim(image, allow_changed=allow_changed)
            files = grown(read(image), [os.fsencode(os.path.realpath(p)) for p in allow_changed])
        notes += [f"passed over: {error.what}" for error in passed_over]
        notes += [f"{file}; restore --truncate-files cuts it back" for file in files]
    except ZaptraceError as error:  # one that cannot be read is a no as well
        errors = [error]
    return _tell(f"image {path}", "be restored here", errors, as_json, notes)


def _tell(
    what: str, does: str, errors: list[ZaptraceError], as_json: bool, notes: Sequence[str] = ()
) -> int:
    if as_json:
        told = {"ok": not errors, "errors": [e.to_dict() for e in errors], "notes": list(notes)}
        print_json(told)
    else:
        can = "cannot" if errors else "can"
        click.echo(f"{_mark(not errors)} {shown(what)} {can} {does}")
        for error in errors:
            topic = topic_of(error.what)
            click.echo(f"{error}" + (f"\n  more     zaptrace help {topic.name}" if topic else ""))
        for note in notes:
            click.echo(f"{'':<6}{shown(note)}")
    return 1 if errors else 0


def _mark(ok: bool) -> str:
    return click.style("yes  ", fg="green") if ok else click.style("no   ", fg="red")

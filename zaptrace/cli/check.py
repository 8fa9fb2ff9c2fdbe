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

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("what", metavar="[POD|IMAGE]", required=False, type=POD)
@allow_changed
@as_json
def command(what: str | None, allow_changed: tuple[str, ...], as_json: bool) -> int:
    """See what this host can do, if POD can be moved, or if IMAGE can be restored here.

    \b
    zaptrace check             what zaptrace needs of this host, each thing tried
    zaptrace check web         would a checkpoint of this pod work? It is frozen for a moment.
    zaptrace check web.zap     would a restore of this image work here? Nothing is made.
    zaptrace check job.images  the same, of the newest good one of a job's images

    A no says because of what, what that costs you, and what to do. Files that the pod wrote to and
    that have grown since the image was made are named: it would write the same again. Exit status 1
    when no pod can run here, or this one cannot be checkpointed, or that image not be restored.
    """
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
            click.echo(str(error))
        for note in notes:
            click.echo(f"{'':<6}{shown(note)}")
    return 1 if errors else 0


def _mark(ok: bool) -> str:
    return click.style("yes  ", fg="green") if ok else click.style("no   ", fg="red")

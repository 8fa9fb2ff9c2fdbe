"""zaptrace checkpoint: write a pod to an image."""

from __future__ import annotations

import os
from typing import Any

import click

from ._common import OUTSIDE, POD, as_json, connect, progress_bar, several, size, span, tell
from ._tell import print_json
from ._which import TakesPod


@click.command(cls=TakesPod)
@click.argument("pod", type=POD)
@click.option("--to", required=True, type=click.Path(), help="The image.")
@click.option("--overwrite", is_flag=True, help="An image that is there already is replaced.")
@click.option("--resume", "then", flag_value="resume", default="resume", help="Go on (default).")
@click.option("--stop", "then", flag_value="stop", help="End the pod when the image is safe.")
@click.option(
    "--codec", type=click.Choice(["none", "lz4", "zstd"]), default="zstd", show_default=True
)
@click.option(
    "--rehearsal/--no-rehearsal",
    default=True,
    help="With --stop: restore the image beside the pod first, as a trial (default).",
)
@click.option(
    "--scrollback/--no-scrollback",
    default=True,
    help="With what was on the screen of its terminal, and the last MiB before (default).",
)
@OUTSIDE
@as_json
def command(
    pod: str,
    to: str,
    overwrite: bool,
    then: str,
    codec: str,
    rehearsal: bool,
    scrollback: bool,
    outside: str,
    as_json: bool,
) -> None:
    """Write POD to an image.

    \b
    zaptrace checkpoint web --to web.zap           the pod goes on
    zaptrace checkpoint web --to web.zap --stop    the pod goes on from the image only
    zaptrace checkpoint web --to web.zap --overwrite
    zaptrace show web.zap                          look at it

    The image is complete, or not there at all; when anything fails the pod goes on. With --overwrite
    the former image is there until the new one is complete, and is removed then. Before --stop
    ends the pod, the image is restored beside it and thrown away: an image that would not come back
    is refused while the pod can still go on. ctrl-c gives it up: then there is no image, and the pod
    goes on.
    """
    to = os.path.abspath(to)
    with connect(pod) as client, progress_bar(f"checkpoint {pod}") as show:
        reply = client.call(
            "checkpoint",
            to=to,
            then=then,
            codec=None if codec == "none" else codec,
            rehearsal=rehearsal,
            outside=outside,
            scrollback=scrollback,
            overwrite=overwrite,
            progress=show,
        )
    report = reply["report"]
    if as_json:
        print_json({"pod": pod, "image": to, "then": then, **report})
        return
    tell(
        f"{to}: {several(report['processes'], 'process', 'processes')}, "
        f"{several(report['threads'], 'thread')}, {_sizes(report)}; "
        f"downtime {span(report.get('downtime_s') or 0.0)}"
        + ("; the pod was stopped" if then == "stop" else "")
    )


def _sizes(report: dict[str, Any]) -> str:
    """On the disk, and what of, where that is another size."""
    plain, stored = (size(report.get(key) or 0) for key in ("bytes", "stored"))
    return stored if stored == plain else f"{stored} of {plain}"

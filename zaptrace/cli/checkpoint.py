"""zaptrace checkpoint: write a pod to an image."""

from __future__ import annotations

import os

import click

from ._common import OUTSIDE, POD, as_json, connect, progress_bar, size, span, tell
from ._tell import print_json


@click.command()
@click.argument("pod", type=POD)
@click.option("--to", required=True, type=click.Path(), help="The image; may not exist yet.")
@click.option("--resume", "then", flag_value="resume", default="resume", help="Go on (default).")
@click.option("--stop", "then", flag_value="stop", help="End the pod when the image is safe.")
@click.option("--codec", type=click.Choice(["none", "lz4", "zstd"]), default="none")
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
    zaptrace show web.zap                          look at it

    The image is complete, or not there at all; when anything fails the pod goes on. Before --stop
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
            progress=show,
        )
    report = reply["report"]
    if as_json:
        print_json({"pod": pod, "image": to, "then": then, **report})
        return
    tell(
        f"{to}: {report.get('processes')} processes, {report.get('threads')} threads, "
        f"{size(report.get('bytes') or 0)}; downtime {span(report.get('downtime_s') or 0.0)}"
        + ("; the pod was stopped" if then == "stop" else "")
    )

"""zaptrace migrate: move a running pod to another host."""

from __future__ import annotations

import os

import click

from ._common import OUTSIDE, POD, as_json, connect, progress_bar, size, span, tell
from ._tell import print_json
from ._which import TakesPod


@click.command(cls=TakesPod)
@click.argument("pod", type=POD)
@click.argument("to", metavar="tcp://HOST:PORT")
@click.option("--key", metavar="zap-...", help="The server's key, when it is not known yet.")
@click.option("--name", help="What the pod is called there.")
@click.option("--codec", type=click.Choice(["none", "lz4", "zstd"]), default="none")
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
    key: str | None,
    name: str | None,
    codec: str,
    scrollback: bool,
    outside: str,
    as_json: bool,
) -> None:
    """Move POD to the host server at tcp://HOST:PORT.

    \b
    zaptrace migrate web tcp://192.0.2.7:7077
    zaptrace migrate web tcp://192.0.2.7:7077 --key zap-...      the first time

    The other host runs zaptrace serve, which prints its key. Exactly one copy runs at any time:
    when anything fails before the other side has the whole pod, it simply goes on here. ctrl-c gives
    it up until then; afterwards that is said, and the pod moves.
    """
    options = {"key": key, "name": name, "codec": None if codec == "none" else codec}
    options["outside"] = outside
    # The supervisor may have been started with another configuration directory than ours.
    options["config"] = os.environ.get("ZAPTRACE_CONFIG_DIR")
    options = {k: v for k, v in options.items() if v is not None}
    with connect(pod) as client, progress_bar(f"migrate {pod}") as show:
        reply = client.call("migrate", to=to, options=options, scrollback=scrollback, progress=show)
    report = reply["report"]
    if as_json:
        print_json({"pod": pod, "to": to, **report})
        return
    tell(
        f"{pod} runs at {to} now: {size(report.get('bytes') or 0)}, "
        f"downtime {span(report.get('downtime_s') or 0.0)}"
    )

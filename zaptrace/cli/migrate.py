"""zaptrace migrate: move running pods to another host."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import click

from ._common import OUTSIDE, POD, as_json, connect, progress_bar, size, span, tell
from ._tell import print_json
from ._which import TakesPod, chosen, every, side_by_side


@click.command(cls=TakesPod)
@click.argument("pods", metavar="POD...", nargs=-1, type=POD)
@click.argument("to", metavar="tcp://HOST:PORT")
@every
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
    pods: tuple[str, ...],
    to: str,
    all_: bool,
    key: str | None,
    name: str | None,
    codec: str,
    scrollback: bool,
    outside: str,
    as_json: bool,
) -> int:
    """Move each POD to the host server at tcp://HOST:PORT.

    \b
    zaptrace migrate web tcp://192.0.2.7:7077
    zaptrace migrate web tcp://192.0.2.7:7077 --key zap-...      the first time
    zaptrace migrate --all tcp://192.0.2.7:7077                  side by side

    The other host runs zaptrace serve, which prints its key. Exactly one copy runs at any time:
    when anything fails before the other side has the whole pod, it simply goes on here. ctrl-c gives
    it up until then; afterwards that is said, and the pod moves. Of several, those that can move do,
    and the exit status is that of the first that cannot.
    """
    options = {"key": key, "name": name, "codec": None if codec == "none" else codec}
    options["outside"] = outside
    # The supervisor may have been started with another configuration directory than ours.
    options["config"] = os.environ.get("ZAPTRACE_CONFIG_DIR")
    options = {k: v for k, v in options.items() if v is not None}
    names = chosen(pods, all_)
    several = all_ or len(names) > 1
    if several and name is not None:
        raise click.UsageError("--name is for one pod")

    def one(pod: str, gives_up: Callable[[], bool] | None = None) -> dict[str, Any]:
        bar = contextlib.nullcontext(None) if gives_up else progress_bar(f"migrate {pod}")
        with connect(pod) as client, bar as show:
            client.gives_up = gives_up or client.gives_up
            reply = client.call(
                "migrate", to=to, options=options, scrollback=scrollback, progress=show
            )
        return {"pod": pod, "to": to, **reply["report"]}

    if several:
        return side_by_side(names, one, _tell_moved, as_json)
    (print_json if as_json else _tell_moved)(one(names[0]))
    return 0


def _tell_moved(moved: dict[str, Any]) -> None:
    tell(
        f"{moved['pod']} runs at {moved['to']} now: {size(moved.get('bytes') or 0)}, "
        f"downtime {span(moved.get('downtime_s') or 0.0)}"
    )

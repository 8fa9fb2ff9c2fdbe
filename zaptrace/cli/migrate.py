"""zaptrace migrate: move a running pod to another host."""

from __future__ import annotations

import os

import click

from ._common import POD, as_json, connect, print_json, progress_bar, size, span


@click.command()
@click.argument("pod", type=POD)
@click.argument("to", metavar="tcp://HOST:PORT")
@as_json
def command(pod: str, to: str, as_json: bool) -> None:
    """Move POD to the host server at tcp://HOST:PORT.

    \b
    zaptrace migrate web tcp://192.0.2.7:7707

    The other host runs zaptrace serve. Exactly one copy runs at any time: when anything fails
    before the other side has the whole pod, it simply goes on here.
    """
    with connect(pod) as client, progress_bar(f"migrate {pod}") as show:
        reply = client.call("migrate", to=to, options=_options(), progress=show)
    report = reply["report"]
    if as_json:
        print_json({"pod": pod, "to": to, **report})
        return
    click.echo(
        f"{pod} runs at {to} now: {size(report.get('bytes') or 0)}, "
        f"downtime {span(report.get('downtime_s') or 0.0)}"
    )


def _options() -> dict[str, str]:
    # The supervisor may have been started with another configuration directory than ours.
    given = os.environ.get("ZAPTRACE_CONFIG_DIR")
    return {"config": given} if given else {}

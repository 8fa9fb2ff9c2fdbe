"""zaptrace stop: end a pod."""

from __future__ import annotations

import click

from ..supervisor import runtime
from ._common import POD, as_json, connect, tell
from ._tell import print_json


@click.command()
@click.argument("pod", type=POD)
@click.option(
    "--grace",
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="From TERM to KILL.",
)
@click.option("--kill", is_flag=True, help="No SIGTERM first.")
@as_json
def command(pod: str, grace: float, kill: bool, as_json: bool) -> None:
    """End POD: SIGTERM to each of its processes, SIGKILL to what is left after the grace time.

    \b
    zaptrace stop web
    zaptrace stop web --grace 60
    zaptrace stop web --kill

    Returns when nothing of the pod is left. What is being done to it is given up first, so its grace
    time begins when it runs again. ctrl-c before the grace time is over: no SIGKILL is sent.
    """
    if runtime.end_starting(runtime.find(pod, runtime.root())):
        if as_json:
            print_json({"pod": pod, "how": "discarded"})
        else:
            tell(f"{pod} was ended before it was whole")
        return
    with connect(pod) as client:
        reply = client.call("stop", grace=grace, kill=kill)
    if as_json:
        print_json({"pod": pod, **reply["outcome"]})
    else:
        tell(f"{pod} {runtime.describe_end(reply['outcome'])}")

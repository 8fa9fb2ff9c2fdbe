"""zaptrace stop: end a pod."""

from __future__ import annotations

from typing import Any

import click

from ..supervisor import runtime
from ._common import POD, as_json, connect, tell
from ._tell import print_json, say


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

    A shell at a terminal ignores SIGTERM, and gets SIGHUP as well.

    \b
    zaptrace stop web
    zaptrace stop web --grace 60
    zaptrace stop web --kill

    Returns when nothing of the pod is left; after a second it says what it waits for. A checkpoint
    is waited for, --kill cuts it short; what else is being done to the pod is given up. The grace
    time begins when the pod runs again. ctrl-c before it is over: no SIGKILL is sent.
    """
    if runtime.end_starting(runtime.find(pod, runtime.root())):
        if as_json:
            print_json({"pod": pod, "how": "discarded"})
        else:
            tell(f"{pod} was ended before it was whole")
        return
    with connect(pod) as client:
        reply = client.call(
            "stop", grace=grace, kill=kill, progress=lambda facts: _tell(pod, facts)
        )
    if as_json:
        print_json({"pod": pod, **reply["outcome"]})
    else:
        tell(f"{pod} {runtime.describe_end(reply['outcome'])}")


def _tell(pod: str, facts: dict[str, Any]) -> None:
    if "behind" in facts:
        say(f"{pod} ends when its {facts['behind']} is done; --kill cuts that short")
    elif "left" in facts:
        names = [f"{vpid} ({comm})" for vpid, comm in facts["left"]]
        names += [f"{facts['more']} more"] if facts["more"] else []
        seconds = round(facts["seconds"])
        say(f"{pod} waits for {', '.join(names)}; SIGKILL in {seconds} s, or with --kill at once")

"""zaptrace stop: end pods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..supervisor import runtime
from ._common import POD, as_json, connect, tell
from ._tell import print_json, say
from ._which import TakesPod, chosen, every, side_by_side


@click.command(cls=TakesPod)
@click.argument("pods", metavar="POD...", nargs=-1, type=POD)
@every
@click.option(
    "--grace",
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="From TERM to KILL.",
)
@click.option("--kill", is_flag=True, help="No SIGTERM first.")
@as_json
def command(pods: tuple[str, ...], all_: bool, grace: float, kill: bool, as_json: bool) -> int:
    """End each POD: SIGTERM to each of its processes, SIGKILL to what is left after the grace time.

    A shell at a terminal ignores SIGTERM, and gets SIGHUP as well.

    \b
    zaptrace stop web
    zaptrace stop web --grace 60
    zaptrace stop web --kill
    zaptrace stop sum-1 sum-2      side by side; --all ends every pod

    Returns when nothing of the pods is left; after a second it says what it waits for. A checkpoint
    is waited for, --kill cuts it short; what else is being done to the pod is given up. The grace
    time begins when the pod runs again. ctrl-c before it is over: no SIGKILL is sent. Of several,
    those that can be ended are, and the exit status is that of the first that cannot.
    """
    names = chosen(pods, all_)

    def one(pod: str, gives_up: Callable[[], bool] | None = None) -> dict[str, Any]:
        return _stop(pod, grace, kill, gives_up)

    if all_ or len(names) > 1:
        return side_by_side(names, one, _tell_end, as_json)
    (print_json if as_json else _tell_end)(one(names[0]))
    return 0


def _stop(
    pod: str, grace: float, kill: bool, gives_up: Callable[[], bool] | None
) -> dict[str, Any]:
    if runtime.end_starting(runtime.find(pod, runtime.root())):
        return {"pod": pod, "how": "discarded"}
    with connect(pod) as client:
        client.gives_up = gives_up or client.gives_up
        reply = client.call(
            "stop", grace=grace, kill=kill, progress=lambda facts: _tell(pod, facts)
        )
    return {"pod": pod, **reply["outcome"]}


def _tell_end(ended: dict[str, Any]) -> None:
    if ended.keys() == {"pod", "how"}:
        tell(f"{ended['pod']} was ended before it was whole")
    else:
        tell(f"{ended['pod']} {runtime.describe_end(ended)}")


def _tell(pod: str, facts: dict[str, Any]) -> None:
    if "behind" in facts:
        say(f"{pod} ends when its {facts['behind']} is done; --kill cuts that short")
    elif "left" in facts:
        names = [f"{vpid} ({comm})" for vpid, comm in facts["left"]]
        names += [f"{facts['more']} more"] if facts["more"] else []
        seconds = round(facts["seconds"])
        say(f"{pod} waits for {', '.join(names)}; SIGKILL in {seconds} s, or with --kill at once")

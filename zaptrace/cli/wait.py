"""zaptrace wait: until pods have ended, and how."""

from __future__ import annotations

import click

from ..errors import NoSuchPod
from ..supervisor import runtime
from ..supervisor.control import Client, Outcome
from ._common import POD, as_json, tell
from ._job import Duration
from ._tell import exit_status, print_json
from ._which import TakesPast


@click.command(cls=TakesPast)
@click.argument("pods", metavar="POD...", nargs=-1, required=True, type=POD)
@click.option("--timeout", type=Duration(), help="Not longer than that (90s, 10m): then status 6.")
@as_json
def command(pods: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """Wait until each POD has ended, and tell how. One that has ended is known for a while.

    \b
    zaptrace wait web
    zaptrace wait sum-1 sum-2 --timeout 1h

    Exit status: that of the last POD, as zaptrace run would have it.
    """
    base = runtime.place()
    ended = [(pod, _wait(pod, base, timeout)) for pod in pods]
    if as_json:
        print_json([{"pod": pod, **outcome.to_dict()} for pod, outcome in ended])
    else:
        for pod, outcome in ended:
            tell(f"{pod} {runtime.describe_end(outcome.to_dict())}")
    return exit_status(ended[-1][1])


def _wait(pod: str, base: str, timeout: float | None) -> Outcome:
    try:
        with Client(pod, base) as client:
            return client.wait(timeout)
    except NoSuchPod:
        if (past := runtime.ended(runtime.check_name(pod), base)) is not None:
            return Outcome.from_dict(past)
        raise

"""zaptrace freeze: stop every process of a pod where it is."""

from __future__ import annotations

import click

from ._common import POD, connect
from ._which import TakesPod


@click.command(cls=TakesPod)
@click.argument("pod", type=POD)
def command(pod: str) -> None:
    """Stop every process and thread of POD where it is, until zaptrace thaw.

    \b
    zaptrace freeze web

    No process notices: no signal is sent, no call is interrupted for good.
    """
    with connect(pod) as client:
        client.call("freeze")

"""zaptrace thaw: let a frozen pod go on."""

from __future__ import annotations

import click

from ._common import POD, connect
from ._which import TakesPod


@click.command(cls=TakesPod)
@click.argument("pod", type=POD)
def command(pod: str) -> None:
    """Let a frozen POD go on. A checkpoint or migration of it that is under way is given up.

    \b
    zaptrace thaw web
    """
    with connect(pod) as client:
        client.call("thaw")

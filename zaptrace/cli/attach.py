"""zaptrace attach: come back to the terminal of a pod."""

from __future__ import annotations

import click

from ._common import POD, connect


@click.command()
@click.argument("pod", type=POD)
@click.option(
    "--tail",
    default=16384,
    show_default=True,
    help="Bytes of scrollback to show first.",
)
def command(pod: str, tail: int) -> int:
    """Join your terminal to the terminal of POD.

    \b
    zaptrace attach shell

    Several may be attached at once; the last to attach or to resize sets the window size. ctrl-\\ d
    detaches, ctrl-\\ twice sends it. Ends with the pod, and with its exit status.
    """
    from ._attached import follow
    from ._foreground import Signals

    with Signals() as signals, connect(pod) as client:
        return follow(client, signals, owner=False, tail=tail)

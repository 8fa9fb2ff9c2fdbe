"""zaptrace attach: come back to the terminal of a pod."""

from __future__ import annotations

import os
import sys

import click

from ..errors import PodError
from ..supervisor import runtime
from ._common import POD, connect, detach_keys, hup
from ._detach_keys import DetachKeys
from ._start import HISTORY, no_terminal
from ._which import TakesPod


@click.command(cls=TakesPod)
@click.argument("pod", type=POD, required=False)
@detach_keys
@hup
@click.option("--read-only", is_flag=True, help="Only look: no key, and no size, reaches the pod.")
@click.option(
    "--tail",
    default=HISTORY,
    show_default=True,
    metavar="LINES",
    type=click.IntRange(min=0),
    help="Lines to scroll back to.",
)
def command(
    pod: str | None, detach_keys: DetachKeys | None, hup: bool, read_only: bool, tail: int
) -> int:
    """Join your terminal to the terminal of POD, or of the only pod that has one.

    \b
    zaptrace attach shell
    zaptrace attach --read-only shell

    What is on its screen is drawn on yours. Several may be attached at once; its window is as large
    as the smallest of theirs. ctrl-\\ d detaches, ctrl-\\ twice sends it; whoever only looks leaves
    with ctrl-c, too. A window that is closed detaches, too. Ends with the pod, and with its exit
    status.
    """
    from ._attached import How, follow
    from ._foreground import Signals

    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
        which = pod or "POD"
        raise no_terminal(
            f"attach to pod {pod!r}" if pod else "attach to a pod",
            f"in a terminal of yours: zaptrace attach {which}; "
            f"zaptrace logs {which} prints what it wrote",
        )
    how = How(history=tail, read_only=read_only, hup=hup)
    how.keys = detach_keys or how.keys
    with Signals() as signals, connect(pod or _the_only_one()) as client:
        return follow(client, signals, how)


def _the_only_one() -> str:
    base = runtime.root()
    found = [
        name
        for name in runtime.pods(base)
        if runtime.read_meta(os.path.join(base, name)).get("stdio") == "tty"
    ]
    if len(found) == 1:
        return found[0]
    raise PodError(
        "cannot tell which pod to attach to",
        needed="a name, or that one pod alone has a terminal",
        found=f"these have: {', '.join(found)}" if found else "none has",
        do="zaptrace attach POD; zaptrace ps lists the pods"
        if found
        else "zaptrace run -- COMMAND from a terminal, or run -d -t, starts one that has",
        changed="nothing",
    )

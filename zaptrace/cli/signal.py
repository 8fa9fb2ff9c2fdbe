"""zaptrace signal: send a signal into a pod."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from ..errors import PodError
from ._common import POD, NumberType, connect
from ._which import TakesPod

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class SignalName(NumberType):
    """USR1, SIGUSR1 or 10."""

    name = "signal"

    def convert(self, value: object, param: object, ctx: object) -> int:
        """The number."""
        text = str(value).upper()
        try:
            if text.isdigit():
                if 0 < int(text) < signal.NSIG:
                    return int(text)
                raise KeyError
            return int(signal.Signals["SIG" + text.removeprefix("SIG")])
        except KeyError:
            self.fail(f"{value!r} is no signal")

    def shell_complete(self, ctx: object, param: object, incomplete: str) -> list[CompletionItem]:
        """The names without SIG."""
        from click.shell_completion import CompletionItem

        names = [s.name.removeprefix("SIG") for s in signal.Signals]
        return [CompletionItem(n) for n in names if n.startswith(incomplete.upper())]


@click.command(cls=TakesPod)
@click.argument("pod", type=POD)
@click.argument("signal_", metavar="SIGNAL", type=SignalName())
@click.option("--process", type=int, metavar="VPID", help="To this process of the pod.")
@click.option("--group", is_flag=True, help="To the process group of the root process.")
def command(pod: str, signal_: int, process: int | None, group: bool) -> None:
    """Send SIGNAL to the root process of POD.

    \b
    zaptrace signal web HUP
    zaptrace signal web USR1 --process 7      the VPID that zaptrace ps web shows
    zaptrace signal job INT --group           as ctrl-c would
    """
    if group and process is not None:
        raise click.UsageError("--process and --group exclude each other")
    with connect(pod) as client:
        try:
            client.call("signal", signal=signal_, vpid=process, group=group)
        except PodError:
            if client.alive():
                raise  # else the signal has ended it before that was answered

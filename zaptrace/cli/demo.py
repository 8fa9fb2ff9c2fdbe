"""zaptrace demo: watch a pod move between two host servers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ._common import as_json, size, span
from ._tell import print_json

if TYPE_CHECKING:
    from ..demo import Host, Result

_COLUMN = 46


@click.command()
@click.option("--stay", default=2.0, show_default=True, metavar="SECONDS", help="On each host.")
@click.option("--rate", default=15.0, show_default=True, metavar="N", help="Numbers a second.")
@click.option("-q", "--quiet", is_flag=True, help="Only the summary.")
@as_json
def command(stay: float, rate: float, quiet: bool, as_json: bool) -> int:
    """Watch a pod move between two host servers on this machine, and back.

    \b
    zaptrace demo
    zaptrace demo --stay 10 --rate 50
    zaptrace demo --json

    The pod is a pipeline: a process generates numbers, two processes of two threads each compute
    checksums, a fourth prints them in order with a running checksum. It is moved twice while it
    runs. Afterwards everything is computed again and compared. Everything is cleaned up, whatever
    happens. Exit status 1 when the proof fails.
    """
    from .. import demo

    quiet = quiet or as_json

    def show(host: Host, line: str) -> None:
        if not quiet:
            indent = "" if host.name == demo.HOSTS[0] else " " * _COLUMN
            click.echo(indent + click.style(_shorten(line), fg=_colour(host)))

    def say(text: str) -> None:
        if not quiet:
            click.echo(click.style(f"── {text}", bold=True))

    if not quiet:
        click.echo(f"{'host one':<{_COLUMN}}host two")
    sys.stdout.flush()
    result = demo.run(stay=stay, rate=rate, show=show, say=say)
    if as_json:
        print_json(result.to_dict())
    else:
        _summary(result)
    return 1 if result.failures else 0


def _colour(host: Host) -> str:
    return "cyan" if host.name == "one" else "yellow"


def _shorten(line: str) -> str:
    fields = line.split()
    if len(fields) != 5:
        return line
    number, _, running, pid, thread = fields
    return f"{number:>6}  {running}  pid {pid}.{thread}"


def _summary(result: Result) -> None:
    click.echo()
    for hop in result.hops:
        click.echo(
            f"  host {hop.source} → host {hop.destination}   downtime {span(hop.downtime_s):>9}   "
            f"sent {size(hop.bytes):>9}   in all {span(hop.total_s):>9}"
        )
    click.echo(f"  {result.processes} processes, {result.threads} threads; lines written:")
    for stay, count in result.lines.items():
        click.echo(f"    {stay:<12} {count:>6}")
    if result.failures:
        click.echo(click.style("  FAILED", fg="red", bold=True))
        for failure in result.failures:
            click.echo(f"    {failure}")
        return
    click.echo(
        click.style("  proven", fg="green", bold=True)
        + f"   1 to {result.last}, each exactly once and in order; computed again, the running\n"
        f"           checksum is {result.checksum}, as in the pod's last line"
    )

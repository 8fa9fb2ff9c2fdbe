"""zaptrace serve: accept pods from other hosts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ._common import as_json
from ._tell import Words, say

if TYPE_CHECKING:
    from ..server import Server


@click.command()
@click.option(
    "--listen", "--bind", "bind", metavar="tcp://ADDRESS:PORT", help="Where; port 0 is any."
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@as_json
def command(bind: str | None, quiet: bool, as_json: bool) -> None:
    """Accept pods from other hosts, until SIGTERM or ctrl-c.

    \b
    zaptrace serve                               for this host only
    zaptrace serve --listen tcp://0.0.0.0:7077   for others

    Another host needs our key, which is printed, and we need its: see zaptrace keys. Hosts that
    share a configuration directory trust each other. Pods that arrived live on when the server
    ends. With --json the first line says endpoint and key, once pods are accepted.
    """
    from .. import server
    from ..log import log
    from ..supervisor import own_process, suitability
    from ..supervisor.runtime import root
    from ..supervisor.spawner import Spawner

    own_process.entitle("serve")
    quiet, Words.quiet = quiet or Words.quiet, False  # errors are for the log as well
    log.to(lambda _, text: say(text), "ERROR" if quiet else "INFO")
    base = root()

    def check(facts: dict[str, Any]) -> list[str]:
        return suitability.reasons(facts, base)

    def ready(running: Server) -> None:
        import json

        if as_json:
            click.echo(json.dumps({"endpoint": running.endpoint, "key": running.key}))
        elif not quiet:
            click.echo(f"accepting pods at {running.endpoint}")
            click.echo(f"key {running.key}")
        sys.stdout.flush()

    spawner = Spawner(base)
    try:
        server.serve(bind or server.BIND, spawn=spawner.spawn, check=check, ready=ready)
    finally:
        spawner.close()

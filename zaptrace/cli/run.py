"""zaptrace run: start a command in a new pod."""

from __future__ import annotations

import os

import click

from ._common import as_json, print_json

_LEVELS = {"host": 0, "x86-64-v2": 2, "x86-64-v3": 3, "x86-64-v4": 4}


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--name", help="Name of the pod; made from the command when not given.")
@click.option("-d", "--detach", is_flag=True, help="Leave it in the background, with a log.")
@click.option("--cwd", type=click.Path(file_okay=False, exists=True), help="Start it there.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Set a variable for it.")
@click.option(
    "--cpu-level",
    type=click.Choice(list(_LEVELS)),
    default="host",
    help="It sees no more of the processor, and goes on where there is that much.",
)
@as_json
@click.argument("command_line", metavar="-- COMMAND...", nargs=-1, required=True)
def command(
    name: str | None,
    detach: bool,
    cwd: str | None,
    env: tuple[str, ...],
    cpu_level: str,
    as_json: bool,
    command_line: tuple[str, ...],
) -> int:
    """Start COMMAND in a new pod.

    \b
    zaptrace run -- bash                          in a terminal of its own
    zaptrace run --name sum -- sort big | uniq    stdin, stdout and stderr are ours
    zaptrace run --name web -d -- ./server        in the background; zaptrace logs web

    From a terminal the pod gets a pty of its own. Detach with ctrl-\\ d, come back with zaptrace
    attach. While nobody is attached the pod never waits for its terminal: what it writes goes into
    a scrollback of the last MiB. When stdin or stdout is no terminal the pod gets ours directly.

    \b
    Exit status: that of the command, or 128 + the number of the signal that ended it;
      0    detached, or the pod was migrated or stopped by a checkpoint and goes on elsewhere
      125  zaptrace itself failed        126  COMMAND cannot be executed
      127  COMMAND was not found         2    wrong usage
    """
    from ..supervisor import runtime
    from ..supervisor.starter import Job
    from ._start import bring_up

    job = Job(
        "launch",
        str(runtime.root()),
        name,
        argv=list(command_line),
        cwd=os.path.abspath(cwd or os.getcwd()),
        env={**os.environ, **_variables(env)},
        cpu_level=_LEVELS[cpu_level],
    )
    return bring_up(job, detach, print_json if as_json else None)


def _variables(given: tuple[str, ...]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise click.BadParameter(f"{one!r} is not NAME=VALUE", param_hint="--env")
    return dict(one.split("=", 1) for one in given)

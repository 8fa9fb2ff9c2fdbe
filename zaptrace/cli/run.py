"""zaptrace run: start a command in a new pod. See _quick.py, which knows these options as well."""

from __future__ import annotations

from typing import Any

import click

from ._common import as_json, detach_keys, env_option, hup, log_size
from ._detach_keys import DetachKeys
from ._job import job_options, of_a_job
from ._start import LEVELS, launch


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--name", help="Name of the pod; made from the command when not given.")
@click.option("-d", "--detach", is_flag=True, help="Leave it in the background, with a log.")
@click.option("-t", "--tty", is_flag=True, help="With a terminal, also in the background.")
@click.option("-i", "--interactive", is_flag=True, help="With our stdin, as it has anyway.")
@detach_keys
@hup
@click.option("--cwd", type=click.Path(file_okay=False, exists=True), help="Start it there.")
@env_option
@click.option(
    "--cpu-level",
    type=click.Choice(list(LEVELS)),
    default="host",
    help="It sees no more of the processor, and goes on where there is that much.",
)
@log_size
@job_options
@as_json
@click.argument("command_line", metavar="-- COMMAND...", nargs=-1, required=True)
def command(
    name: str | None,
    detach: bool,
    tty: bool,
    interactive: bool,
    detach_keys: DetachKeys | None,
    hup: bool,
    cwd: str | None,
    env: tuple[str, ...],
    cpu_level: str,
    log_size: int | None,
    as_json: bool,
    command_line: tuple[str, ...],
    **job: Any,
) -> int:
    """Start COMMAND in a new pod.

    \b
    zaptrace run -- bash                          in a terminal of its own
    zaptrace run --name sum -- sort big | uniq    stdin, stdout and stderr are ours
    zaptrace run --name web -d -- ./server        in the background; zaptrace logs web
    zaptrace run --name edit -d -t -- vim plan    with a terminal that nobody sees yet
    zaptrace run --images job --every 10m --on TERM --continue -- python3 job.py

    From a terminal the pod gets a pty of its own. Detach with ctrl-\\ d, come back with zaptrace
    attach; a window that is closed and a connection that drops detach as well. While nobody is
    attached the pod never waits for its terminal: what it writes goes into a scrollback of the last
    MiB. When stdin or stdout is no terminal the pod gets ours directly; so it does from a shell with
    an `&`, but reads nothing.

    With --images it is a job for a batch system: images are made by time, and at the signals of
    --on one that stops the pod. Then the exit status is 85, which says: run me again, and with
    --continue it goes on from there (docs/batch.md). Signals that are of no use to zaptrace are
    passed on to the command.

    \b
    Exit status: that of the command, or 128 + the number of the signal that ended it;
      0    detached, or the pod was migrated or stopped by a checkpoint and goes on elsewhere
      85   saved to --images: run me again. A command's own 85 is told as 86 then
      125  zaptrace itself failed        126  COMMAND cannot be executed
      127  COMMAND was not found         2    wrong usage
    """
    return launch(
        name,
        detach,
        cwd,
        env,
        as_json,
        command_line,
        cpu_level,
        tty,
        interactive,
        detach_keys,
        hup,
        log_size,
        **of_a_job(job),
    )

"""zaptrace exec: start a command in a pod that runs."""

from __future__ import annotations

import os
from typing import Any

import click

from ..errors import NoSuchPod, ZaptraceError
from ..linux import private
from ..supervisor.control import Outcome
from ._common import POD, as_json, connect, env_option, tell
from ._tell import explain, print_json
from ._which import TakesPod


class _Exec(TakesPod):
    """What follows the pod is the command's, but for what stands before `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does."""
        ctx.allow_interspersed_args = "--" in args
        return super().parse_args(ctx, args)


@click.command(cls=_Exec)
@click.argument("pod", type=POD)
@click.option("-d", "--detach", is_flag=True, help="In the background; its output goes to the log.")
@click.option("-t", "--tty", is_flag=True, help="With a terminal, as it has anyway if we have one.")
@click.option("-i", "--interactive", is_flag=True, help="With our stdin, as it has anyway.")
@click.option("--cwd", type=click.Path(file_okay=False, exists=True), help="Start it there.")
@env_option
@as_json
@click.argument("command_line", metavar="-- COMMAND...", nargs=-1, required=True)
def command(
    pod: str,
    detach: bool,
    tty: bool,
    interactive: bool,
    cwd: str | None,
    env: tuple[str, ...],
    as_json: bool,
    command_line: tuple[str, ...],
) -> int:
    """Start COMMAND as a new process of POD, which runs.

    \b
    zaptrace exec web -- ps aux            sees the processes of the pod, and no others
    zaptrace exec -it shell -- bash        with a terminal of its own
    zaptrace exec web -- kill -HUP 7       process 7 of the pod
    zaptrace exec -d web -- ./tidy         in the background; zaptrace logs web

    It has our environment and directory, as with zaptrace run, and is a process of the pod as any
    other from its beginning: images and migrations carry it along. What it has of ours, its stdin,
    stdout and stderr, is that of the pod where it goes on. The pod stands still for a moment while
    it is started. It does not end with the pod's first process, but with the pod.

    \b
    Exit status: that of the command, or 128 + the number of the signal that ended it;
      0    with -d, or the pod has moved, or was stopped by a checkpoint, and COMMAND with it
      125  zaptrace itself failed        126  COMMAND cannot be executed
      127  COMMAND was not found         2    wrong usage
    """
    if detach and tty:
        raise click.UsageError("-d has no terminal: leave -t away")
    variables = {**os.environ, **dict(one.split("=", 1) for one in env)}
    asked: dict[str, Any] = {
        "argv": [os.fsencode(word) for word in command_line],
        "cwd": os.fsencode(os.path.abspath(cwd or os.getcwd())),
        "env": [os.fsencode(f"{name}={value}") for name, value in variables.items()],
        "umask": private.umask(),
        "detach": detach,
    }
    try:
        if detach:
            return _begin(pod, asked, as_json)
        return _run(pod, asked, tty)
    except ZaptraceError as error:
        if not isinstance(error, NoSuchPod):
            error.exit_status = getattr(error, "status", 125)
        raise


def _begin(pod: str, asked: dict[str, Any], as_json: bool) -> int:
    with connect(pod) as client:
        vpid = client.call("exec", **asked)["vpid"]
    if as_json:
        print_json({"pod": pod, "vpid": vpid})
    else:
        tell(str(vpid))
    return 0


def _run(pod: str, asked: dict[str, Any], tty: bool) -> int:
    from ..supervisor.starter import fill_standard_fds
    from ._executed import Executed
    from ._foreground import Signals
    from ._start import no_terminal, on_terminal

    if tty and not on_terminal():
        raise no_terminal("execute with a terminal", "leave -t away")
    fill_standard_fds()
    with Signals() as signals, connect(pod) as client:
        ended = Executed(client, signals, on_terminal()).run(**asked)
    if isinstance(ended, Outcome):
        explain(pod, ended)
        return 0 if ended.how in ("checkpointed", "migrated") else 125
    code = os.waitstatus_to_exitcode(ended)
    return code if code >= 0 else 128 - code

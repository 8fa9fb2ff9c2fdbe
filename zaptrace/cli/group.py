"""The command line as click sees it: a group of verbs, each in a file of its own."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

import click

from .. import text
from ..errors import ZaptraceError
from ..log import log
from . import _tell
from ._verbs import HELP, VERBS

_SWEEPING = ("run", "ps", "checkpoint", "restore", "migrate", "serve", "stop")
"""Before these, what killed processes of ours have left is removed."""


class Verbs(click.Group):
    """A group whose commands are modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the verb's file."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name}", __package__).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """With the verb that was perhaps meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = text.close_to(args[0], VERBS)
            if close is None:
                raise
            raise click.UsageError(f"{error.message} Did you mean {close}?", ctx) from None

    def get_help(self, ctx: click.Context) -> str:
        """The same text, whoever is asked."""
        return HELP


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="zaptrace", message="zaptrace %(version)s")
@click.option("-q", "--quiet", is_flag=True, help="No remarks, only results and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is done, on stderr.")
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=str),
    help="Supervisors that we start, and we, log there as well.",
)
@click.pass_context
def group(ctx: click.Context, quiet: bool, verbose: bool, log_file: str | None) -> None:
    """Run, checkpoint, restore and migrate ordinary Linux processes, as an ordinary user."""
    _tell.Words.quiet = quiet
    least = "DEBUG" if verbose else None
    log.wanted = None, least
    if verbose:
        log.to(lambda level, said: click.echo(f"zaptrace: {level.lower()}: {said}", err=True))
    if log_file is not None:
        from ..supervisor.own_process import LogFile

        path = os.path.abspath(log_file)
        log.wanted = path, least
        try:
            log.to(LogFile(path).write, least or "INFO")
        except OSError as error:
            raise click.BadParameter(f"{path}: {error.strerror}", param_hint="--log-file") from None
        log.info("zaptrace %s", " ".join([ctx.invoked_subcommand or "", *sys.argv[2:]])[:400])
    if ctx.invoked_subcommand in _SWEEPING:
        from ..supervisor import runtime, sweeping

        with contextlib.suppress(ZaptraceError, OSError):  # the verb itself says what is wrong
            sweeping.sweep(runtime.root())


def run(argv: list[str]) -> int:
    """Run the command line; the exit status, or an exception."""
    try:
        result: object = group.main(argv, prog_name="zaptrace", standalone_mode=False)
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.Abort:
        return 130
    except click.ClickException as e:
        e.show()
        return e.exit_code
    return result if isinstance(result, int) else 0

"""The command line: one file per verb, loaded when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys

import click

from ..errors import ZaptraceError

VERBS = {
    "run": "start a command in a new pod",
    "ps": "list the pods, or the processes of one",
    "attach": "come back to the terminal of a pod",
    "logs": "print what a detached pod wrote",
    "freeze": "stop every process of a pod where it is",
    "thaw": "let a frozen pod go on",
    "checkpoint": "write a pod to an image",
    "restore": "make a pod from an image",
    "migrate": "move a running pod to another host",
    "serve": "accept pods from other hosts",
    "keys": "show our key, and say whom to trust",
    "show": "print what is in an image",
    "check": "can this host, pod or image do it?",
    "signal": "send a signal into a pod",
    "stop": "end a pod",
    "demo": "watch a pod move between two host servers",
    "completion": "print the shell's completion script",
}
"""Kept here so that `zaptrace --help` loads no verb."""


class Verbs(click.Group):
    """A group whose commands are modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the verb's file."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name}", __name__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without loading them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="zaptrace VERB --help has examples.",
)
@click.version_option(package_name="zaptrace", message="zaptrace %(version)s")
def group() -> None:
    """Run, checkpoint, restore and migrate ordinary Linux processes, as an ordinary user.

    \b
    zaptrace run --name web -d -- python3 -m http.server
    zaptrace checkpoint web --to web.zap --stop
    zaptrace restore web.zap -d
    zaptrace migrate web tcp://other-host:7077
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for an error of ours, 2 for wrong usage; see `run`."""
    sys.exit(call(sys.argv[1:] if argv is None else argv))


def call(argv: list[str]) -> int:
    """Run the command line and return its exit status."""
    try:
        result: object = group.main(argv, prog_name="zaptrace", standalone_mode=False)
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.Abort:
        return 130
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except ZaptraceError as e:
        _print_error(f"zaptrace: {e}")
        return getattr(e, "exit_status", 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader left; so that the flush at exit does not complain about it again:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as e:
        from ..log import unforeseen

        doing = f"do zaptrace {argv[0]}" if argv else "start"
        _print_error(f"zaptrace: {unforeseen(doing, e, 'nothing that we know of')}")
        return 1
    return result if isinstance(result, int) else 0


def _print_error(text: str) -> None:
    try:
        print(text, file=sys.stderr)
    except OSError:
        return

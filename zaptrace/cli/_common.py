"""What several verbs share: pod names and their completion, tables, sizes, progress."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import PodError
from ..supervisor import runtime
from ..text import shown
from ._tell import Words

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..supervisor.control import Client
    from ._detach_keys import DetachKeys

    KeysType = click.ParamType[DetachKeys]
    TextType = click.ParamType[str]
    NumberType = click.ParamType[int]
else:  # a generic only from click 8.4 on
    KeysType = TextType = NumberType = click.ParamType


class PodName(TextType):
    """The name of a pod; completes to the pods that run."""

    name = "pod"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Only looks at the runtime directory: no socket, no ZeroMQ."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in runtime.names() if name.startswith(incomplete)]


POD = PodName()


class Keys(KeysType):
    """Those that detach."""

    name = "keys"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> DetachKeys:
        """From the command line."""
        from ._detach_keys import DetachKeys

        try:
            return value if isinstance(value, DetachKeys) else DetachKeys(value)
        except PodError as error:
            self.fail(f"{error.what}: {error.needed}", param, ctx)


class Size(NumberType):
    """65536, 64K, 16M or 1G, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes."""
        text = str(value).upper().removesuffix("IB").removesuffix("B")
        power = "KMG".find(text[-1:]) + 1 if text[-1:] else 0
        digits = text[:-1] if power else text
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            self.fail(f"{value!r} is no size such as 64K or 16M", param, ctx)
        if (size := int(digits) << 10 * power) < 4096:
            self.fail(f"{value!r} is less than 4K", param, ctx)
        return size


def _named(_: click.Context, __: click.Parameter, env: tuple[str, ...]) -> tuple[str, ...]:
    for one in env:
        if "=" not in one:
            raise click.BadParameter(f"{one!r} is not NAME=VALUE", param_hint="--env")
    return env


env_option = click.option(
    "--env",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_named,
    help="Set a variable for it.",
)
log_size = click.option(
    "--log-size",
    type=Size(),
    metavar="SIZE",
    help="With -d: of its log this much, up to twice, is kept (16M).",
)
detach_keys = click.option(
    "--detach-keys",
    type=Keys(),
    metavar="KEYS",
    help="Detach by these, for example ctrl-p,ctrl-q; ctrl-\\,d when not given.",
)
hup = click.option(
    "--hup", is_flag=True, help="A terminal that hangs up sends SIGHUP to the pod; else we detach."
)
IMAGE = click.Path(file_okay=False, path_type=str)
OUTSIDE = click.option(
    "--outside",
    type=click.Choice(["refuse", "close"]),
    default="refuse",
    help="TCP connections to outside the pod: refuse (default), or go on as if they had been reset.",
)
allow_changed = click.option(
    "--allow-changed",
    metavar="PATH",
    type=click.Path(path_type=str),
    multiple=True,
    help="This file may be another one than it was. May be given more than once.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def connect(name: str) -> Client:
    """A client of the live pod `name`."""
    from ..supervisor.control import Client

    return Client(name)


def tell(text: str) -> None:
    """A line on stdout, fit to print whoever's names are in it."""
    click.echo(shown(text))


def several(count: int, of: str, more: str = "") -> str:
    """1 process, 2 processes."""
    return f"{count} {of if count == 1 else more or f'{of}s'}"


def size(count: float) -> str:
    """Bytes for people: 512 B, 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def span(seconds: float) -> str:
    """A duration for people: 12.3 ms, 4.2 s, 3 h 12 min."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if minutes < 60:
        return f"{int(minutes)} min {int(seconds % 60)} s"
    if hours < 24:
        return f"{int(hours)} h {int(minutes % 60)} min"
    return f"{int(days)} d {int(hours % 24)} h"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns on stdout; coloured by rich on a terminal, plain otherwise."""
    cells = [[shown(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        grid = Table(*head, box=None, pad_edge=False, header_style="bold")
        for row in cells:
            grid.add_row(*(cell.replace("[", "\\[") for cell in row))
        Console().print(grid)
        return
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for row in [list(head), *cells]:
        click.echo("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip())


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that shows progress messages: a bar on a terminal, silent otherwise and with -q.

    It understands `step` or `phase` (what is done now), `done`/`sent`/`bytes` and `total`.
    """
    if Words.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import progress as rich
    from rich.console import Console

    bar = rich.Progress(
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.DownloadColumn(binary_units=True),
        rich.TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=None)

        def show(message: dict[str, Any]) -> None:
            step = message.get("step") or message.get("phase")
            done = next((message[k] for k in ("done", "sent", "bytes") if k in message), None)
            bar.update(
                task,
                description=f"{title}: {shown(str(step))}" if step else None,
                completed=done,
                total=message.get("total"),
            )

        yield show

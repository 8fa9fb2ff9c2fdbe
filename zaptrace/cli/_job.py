"""The options of a job: which images of it are kept, when they are made, and what it goes on from."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._common import OUTSIDE, NumberType
from .signal import SignalName

if TYPE_CHECKING:
    SignalsType = click.ParamType[list[int]]
else:  # a generic only from click 8.4 on
    SignalsType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHORTEST_S = 1.0
_NO_SIGNALS_OF_OURS = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT}


class Duration(NumberType):
    """90, 90s, 10m, 2h or 1h30m, in seconds."""

    name = "time"

    def convert(self, value: object, param: object, ctx: object) -> float:  # type: ignore[override]
        """The seconds."""
        if isinstance(value, int | float):
            return float(value)
        parts = re.findall(r"([0-9.]+)([smhd]?)", text := str(value).lower())
        try:
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        except ValueError:
            seconds = -1.0
        if "".join(n + u for n, u in parts) != text or seconds < _SHORTEST_S:
            self.fail(f"{value!r} is no time such as 90s, 10m or 1h30m")
        return seconds


class Since(NumberType):
    """10m, which is ago, or 2026-11-27T03:00, here; in seconds since 1970."""

    name = "since"

    def convert(self, value: object, param: object, ctx: object) -> float:  # type: ignore[override]
        """The time."""
        import datetime

        if isinstance(value, int | float):
            return float(value)
        with contextlib.suppress(ValueError):
            return datetime.datetime.fromisoformat(str(value)).timestamp()
        try:
            return time.time() - Duration().convert(value, param, ctx)
        except click.UsageError:
            self.fail(f"{value!r} is no time such as 10m, or 2026-11-27T03:00")


class SignalNames(SignalsType):
    """TERM,USR1: one or more, by name or number."""

    name = "signals"

    def convert(self, value: object, param: object, ctx: object) -> list[int]:
        """Their numbers."""
        one = SignalName()
        numbers = [one.convert(word, param, ctx) for word in str(value).split(",") if word]
        for number in numbers:
            if number in _NO_SIGNALS_OF_OURS:
                self.fail(f"{signal.Signals(number).name} cannot say that a job has to leave")
        return numbers


truncate_files = click.option(
    "--truncate-files",
    is_flag=True,
    help="Files that it wrote to and that have grown since the image: cut them back.",
)

_JOB = (
    click.option(
        "--images", type=click.Path(file_okay=False), help="A job: its images are kept in there."
    ),
    click.option("--every", type=Duration(), help="An image so often (10m, 1h30m)."),
    click.option("--keep", type=click.IntRange(1), help="So many images are kept (3)."),
    click.option("--on", type=SignalNames(), help="At these signals it is saved and stops (TERM)."),
    click.option("--continue", "go_on", is_flag=True, help="From the newest good image, if any."),
    truncate_files,
    OUTSIDE,
)


def job_options(command: F) -> F:
    """The options above, in this order."""
    for option in reversed(_JOB):
        command = option(command)
    return command


def of_a_job(given: dict[str, Any]) -> dict[str, Any]:
    """Of these options, what a Job says of itself."""
    if given["images"] is None:
        used = {"every", "keep", "on", "go_on", "truncate_files"} & {k for k in given if given[k]}
        if used or given["outside"] != "refuse":
            raise click.UsageError(
                "--every, --keep, --on, --continue, --truncate-files and --outside are of a job, "
                "which has --images"
            )
        return {}
    return {
        "images": os.path.abspath(given["images"]),
        "every": given["every"],
        "keep": given["keep"] or 3,
        "on": given["on"] if given["on"] is not None else [int(signal.SIGTERM)],
        "go_on": given["go_on"],
        "cut_back": given["truncate_files"],
        "outside": given["outside"],
    }

"""zaptrace logs: print what a detached pod wrote."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import IO

import click

from ..errors import HostError, PodError
from ..linux import private
from ..supervisor import kept, runtime
from ..supervisor.logs import follow as follow_log
from ..supervisor.logs import offset_at, old_one
from ._common import POD, connect
from ._job import Since
from ._which import TakesPast

_LOOK_S = 0.1


@click.command(cls=TakesPast)
@click.argument("pod", type=POD)
@click.option("-f", "--follow", is_flag=True, help="Go on until the pod ends.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), metavar="N", help="The last N lines of what there is."
)
@click.option(
    "--since", type=Since(), metavar="TIME", help="From then on: 10m ago, or 2026-11-27T03:00."
)
def command(pod: str, follow: bool, lines: int | None, since: float | None) -> None:
    """Print what POD wrote to stdout and stderr.

    \b
    zaptrace logs web          what it wrote so far
    zaptrace logs -f web       and what it writes from now on
    zaptrace logs -n 20 web    the last 20 lines
    zaptrace logs --since 1h web

    Of a long log the last 16 MiB are there, and up to 32. Also works for a pod that ended, until
    another of that name ends. Of a pod with a terminal it prints the scrollback, the last MiB: to a
    terminal as text with its colours, elsewhere as the terminal got it.
    """
    base = runtime.root()
    path = base / runtime.check_name(pod)
    if runtime.is_running(path):
        if runtime.read_meta(path).get("stdio") == "tty":
            if since is not None:
                raise click.UsageError(
                    "--since: of what a terminal shows it is not known since when"
                )
            _scrollback(pod, lines)
            return
        log, alive = Path(kept.live_log(path)), True
    else:
        log, alive = runtime.ended_log(pod, base), False
    try:
        stream = _opened(log)
    except FileNotFoundError:
        if not alive:
            runtime.find(pod, base)  # raises, saying what is there
        raise PodError(
            f"pod {pod!r} has no log",
            needed="a pod that was started with -d",
            found="one whose stdout and stderr are those of whoever started it",
        ) from None
    with stream:
        begins = None if since is None else offset_at(log, since)
        stream.seek(begins or 0)
        with contextlib.suppress(FileNotFoundError), _opened(old_one(log)) as old:
            if begins is not None:
                old.seek(0, os.SEEK_END)
            elif since is not None:
                old.seek(offset_at(old_one(log), since) or 0)
            if lines is None:
                shutil.copyfileobj(old, sys.stdout.buffer)
            else:  # as much as two logs are at most
                sys.stdout.buffer.write(_last(old.read() + stream.read(), lines))
                lines = None
        if lines is not None:
            sys.stdout.buffer.write(_last(stream.read(), lines))
        _copy(log, stream, path if follow else None)


def _opened(log: Path | str) -> IO[bytes]:
    try:
        return private.as_file(private.open_to_read(log), "rb", buffering=0)
    except FileNotFoundError:
        raise
    except OSError as e:
        raise HostError(
            f"cannot read the log {log}",
            needed="a file that a supervisor has written",
            found=e.strerror,
            remedy=f"rm -r {log}, if it is of no use",
        ) from e


def _copy(log: Path, stream: IO[bytes], path: Path | None) -> None:
    out = sys.stdout.buffer
    instance = runtime.read_meta(path).get("instance") if path else None
    while True:
        # Asked before reading: what a pod wrote before its end is in the file when it is gone.
        alive = (
            path is not None
            and runtime.is_alive(path)
            and runtime.read_meta(path).get("instance") == instance
        )
        for data in follow_log(log, stream):
            out.write(data)
            out.flush()
        if not alive:
            return
        time.sleep(_LOOK_S)


def _last(data: bytes, lines: int) -> bytes:
    return b"".join(data.splitlines(keepends=True)[-lines:] if lines else ())


def _scrollback(pod: str, lines: int | None) -> None:
    """On a terminal what it shows: as it stands it would ask ours questions, and turn things on."""
    with connect(pod) as client:
        if sys.stdout.isatty():
            from ..screen.drawing import printed
            from ..screen.emulator import replayed

            shown = client.call("scrollback", timeout=10, screen=True)["screen"]
            data = printed(replayed(shown["before"], shown["data"], shown["sizes"]))
        else:
            data = client.call("scrollback", timeout=10)["data"]
        sys.stdout.buffer.write(data if lines is None else _last(data, lines))
        sys.stdout.buffer.flush()

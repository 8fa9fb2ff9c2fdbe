"""What a pod wrote: its log, also when it has ended, or the scrollback of its terminal."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO

from ..errors import PodError
from ..linux import private
from ..supervisor import kept, runtime
from ..supervisor.control import Client
from ..supervisor.logs import follow, old_one

_LOOK_S = 0.1
_PIECE = 1 << 16


def written(client: Client, to_the_end: bool = False) -> Generator[bytes]:
    """So far, or `to_the_end` of the pod. Raises PodError for a pod that has no log."""
    with client:
        if client.alive() and runtime.read_meta(client.path).get("stdio") == "tty":
            yield client.call("scrollback")["data"]
            return
        log, stream = _opened(client)
        with stream:
            with contextlib.suppress(FileNotFoundError), _open(old_one(log)) as old:
                yield from iter(lambda: old.read(_PIECE), b"")
            while True:
                # Asked before reading: what a pod wrote before its end is in the file when it is gone.
                alive = to_the_end and client.alive() and not client.gives_up()
                yield from follow(log, stream)
                if not alive:
                    return
                time.sleep(_LOOK_S)


def _opened(client: Client) -> tuple[Path, IO[bytes]]:
    past = client.past()
    live = Path(kept.live_log(client.path))
    ended = runtime.ended_log(client.name, os.fspath(client.root))
    for log in (ended, live) if past else (live, ended):
        if log is ended and past is None and client.past() is None:
            continue  # of an earlier pod of that name
        with contextlib.suppress(FileNotFoundError):
            return log, _open(log)
    raise PodError(
        f"pod {client.name!r} has no log",
        needed="a pod that was started in the background, and no later one of its name that ended",
        found="its stdout and stderr are those of whoever started it"
        if client.alive()
        else "it is not running any more",
        changed="nothing",
    )


def _open(log: Path | str) -> IO[bytes]:
    return private.as_file(private.open_to_read(log), "rb", buffering=0)

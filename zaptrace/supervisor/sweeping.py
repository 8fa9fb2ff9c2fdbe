"""What processes of this user left that were killed: gone with the next command.

Nothing goes that anybody uses, which is proven by a lock that the kernel frees with its owner: of a
pod's entry (runtime.py), of a note about a scratch directory (linux/scratch.py) or about files of
sockets (resources/unix_socket/left.py), of the staging directory of a host server. What came half goes,
whichever server it came to. A staged image of which the pod may have gone on, or may have to, is kept: it
may be the only one; servers name it as they start. What went on is known for who asks a server that
follows at the same address (migration/destination.py); none follows one at port 0.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..linux import scratch
from ..log import log
from . import runtime

STAGED = ".staged"
SOCKETS = "zaptrace-sockets-"
"""So are notes called of resources/unix_socket/left.py."""
_UNDECIDED = ("whole", "thawing")
_ANY_PORT = re.compile(r".*_any-[0-9]+")


def sweep(base: Path) -> None:
    """All of it, in this runtime directory and where temporary files are."""
    runtime.pods(base)
    for path in scratch.sweep():
        log.info("removed %s, whose maker was killed", path)
    _sweep_sockets()
    for staging in _stagings(base):
        with contextlib.suppress(OSError):
            _sweep_staging(staging)


def abandoned(base: Path) -> list[tuple[str, str]]:
    """What arrived whole at servers that are gone, and nobody decided about: a pod's name, its image."""
    found = []
    for staging in _stagings(base):
        with contextlib.suppress(OSError), _unused(staging):
            for arrival in staging.iterdir():
                if not arrival.is_symlink() and _record(arrival)["state"] in _UNDECIDED:
                    found.append((str(_record(arrival)["name"]), str(arrival / "image")))
    return found


def _stagings(base: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [path for path in (base / STAGED).iterdir() if not path.is_symlink()]
    return []


def _sweep_sockets() -> None:
    with contextlib.suppress(OSError):
        if not any(name.startswith(SOCKETS) for name in os.listdir(scratch.temporary_place())):
            return  # as most of the time: what follows is to be loaded first
        from ..resources.unix_socket import left

        for path in left.sweep():
            log.info("removed %s, whose maker was killed", path)


def _sweep_staging(staging: Path) -> None:
    asked_for = () if _ANY_PORT.fullmatch(staging.name) else ("live",)
    with _unused(staging):
        for arrival in staging.iterdir():
            if not arrival.is_symlink() and _record(arrival)["state"] not in (
                *_UNDECIDED,
                *asked_for,
            ):
                scratch.remove_tree(arrival)
        staging.rmdir()


@contextlib.contextmanager
def _unused(staging: Path) -> Iterator[None]:
    """Raises OSError while the server lives that it is of."""
    fd = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _record(arrival: Path) -> dict[str, Any]:
    from ..migration.destination import record_of

    return record_of(arrival)

"""What processes of this user left that were killed: gone with the next command.

Nothing goes that anybody uses, which is proven by a lock that the kernel frees with its owner: of a
pod's entry (runtime.py), of a note about a scratch directory (linux/scratch.py) or about files of
sockets (resources/unix_socket/left.py), of the staging directory of a host server. A server at an
address of its own is followed by another at that address, which sees to what was staged
(migration/destination.py); one at port 0 is not, so that is done here. A staged image of which the pod
may have gone on, or may have to, is kept: it may be the only one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path

from ..linux import scratch
from ..log import log
from . import runtime

STAGED = ".staged"
SOCKETS = "zaptrace-sockets-"
"""So are notes called of resources/unix_socket/left.py."""
_ANY_PORT = re.compile(r".*_any-[0-9]+")


def sweep(base: Path) -> None:
    """All of it, in this runtime directory and where temporary files are."""
    runtime.pods(base)
    for path in scratch.sweep():
        log.info("removed %s, whose maker was killed", path)
    _sweep_sockets()
    with contextlib.suppress(OSError):
        for staging in (base / STAGED).iterdir():
            if _ANY_PORT.fullmatch(staging.name) and not staging.is_symlink():
                with contextlib.suppress(OSError):
                    _sweep_staging(staging)


def _sweep_sockets() -> None:
    with contextlib.suppress(OSError):
        if not any(name.startswith(SOCKETS) for name in os.listdir(scratch.temporary_place())):
            return  # as most of the time: what follows is to be loaded first
        from ..resources.unix_socket import left

        for path in left.sweep():
            log.info("removed %s, whose maker was killed", path)


def _sweep_staging(staging: Path) -> None:
    fd = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the server, as long as it lives
        for arrival in staging.iterdir():
            if not arrival.is_symlink() and not _may_be_needed(arrival):
                scratch.remove_tree(arrival)
        staging.rmdir()
    finally:
        os.close(fd)


def _may_be_needed(arrival: Path) -> bool:
    """Was the source told that it is whole, and nobody that it runs?"""
    from ..migration.destination import state_of

    return state_of(arrival) in ("whole", "thawing")

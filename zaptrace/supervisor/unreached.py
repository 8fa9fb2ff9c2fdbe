"""Supervisors that live, and that nobody reaches: their entry in the runtime directory was taken away.

They make it again (control_socket.py) when somebody looks for them, unless another pod has the name by
then. Each holds its lock, so its descriptors tell which pod it is of; its title (own_process.py) that it is
one. A supervisor that idles does not wake to look for itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import time

from .own_process import SOUGHT

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from ..linux.private import StrPath

_TITLE = b"zaptrace: "
_GONE = " (deleted)"
_PATIENCE_S, _LOOK_S = 2.0, 0.05


def call_back(base: StrPath, name: str | None = None) -> list[tuple[str, int]]:
    """Have those of this runtime directory, or of that name, make their entries again: each a pod's name
    and a pid; those are returned that have not done so. One that is just ending is none."""
    left = [one for one in _look(base) if name in (None, one[0])]
    limit = time.monotonic() + _PATIENCE_S
    while left and time.monotonic() < limit:
        for _, pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, SOUGHT)
        time.sleep(_LOOK_S)
        left = sorted(set(left) & set(_look(base)))
    return left


def _look(base: StrPath) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    parents: dict[int, int] = {}
    lock = re.compile(re.escape(f"{os.path.realpath(base)}/") + r"([^/]+)/lock" + re.escape(_GONE))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as line:
                if line.read(len(_TITLE)) != _TITLE:
                    continue
            for fd in os.listdir(f"/proc/{pid}/fd"):  # of another user: PermissionError
                if held := lock.fullmatch(os.readlink(f"/proc/{pid}/fd/{fd}")):
                    found.append((held[1], int(pid)))
                    with open(f"/proc/{pid}/stat", "rb", buffering=0) as stat:
                        parents[int(pid)] = int(stat.read().rpartition(b")")[2].split()[1])
                    break
    # A process that a supervisor has made to help it shares its descriptors.
    return [(name, pid) for name, pid in found if parents.get(pid) not in parents]

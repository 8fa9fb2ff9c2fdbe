"""What the processes begin with that we execute: capabilities(7) and groups, as the supervisor has them.

An ordinary user's have no capability, and so can change none of it; neither can we give it back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ...linux.procfs import status

CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_PTRACE = 6, 7, 8, 19
NAMES = {
    CAP_SETGID: "CAP_SETGID",
    CAP_SETUID: "CAP_SETUID",
    CAP_SETPCAP: "CAP_SETPCAP",
    CAP_SYS_PTRACE: "CAP_SYS_PTRACE",
}


@dataclass(frozen=True)
class Beginning:
    """Of a process that the supervisor has just executed."""

    permitted: int
    """And effective; 0: it has nothing to give up."""
    bounding: int

    def has(self, *capabilities: int) -> bool:
        return all(self.permitted >> one & 1 for one in capabilities)

    def lacks(self, *capabilities: int) -> list[str]:
        return [NAMES[one] for one in capabilities if not self.has(one)]


def beginning() -> Beginning:
    own = status(os.getpid())
    inheritable, permitted, bounding, ambient = (
        int(own[name], 16) for name in ("CapInh", "CapPrm", "CapBnd", "CapAmb")
    )
    got = ambient if os.geteuid() else (inheritable | bounding) & permitted
    return Beginning(got, bounding)

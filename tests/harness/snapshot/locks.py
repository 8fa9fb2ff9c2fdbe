"""Locks, those that wait too, from /proc/locks: the ones that a process of the pod has or wants."""

from __future__ import annotations

import os
from pathlib import Path

from harness.snapshot.look import Look


def read(look: Look, rpid: int) -> list[str]:
    """`POSIX ADVISORY WRITE fd 3 of 7 0 99`; blocked ones begin with an arrow."""
    found = []
    for line in Path("/proc/locks").read_text().splitlines():
        _number, *words = line.split()
        blocked = words[0] == "->"
        kind, mode, access, holder, where, *span = words[blocked:]
        if int(holder) == rpid:
            major, minor, inode = where.split(":")
            file = look.inode(os.makedev(int(major, 16), int(minor, 16)), int(inode))
            found.append(" ".join(["-> "[: 3 * blocked] + kind, mode, access, file, *span]))
    return sorted(found)

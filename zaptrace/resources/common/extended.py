"""Extended attributes, xattr(7), of what comes into being anew: those that are its owner's to set."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Annotated

from ...shapes import Length, NoNul, Seen, Wrong

_ACCESS = "system.posix_acl_access"


class _OfTheOwner:
    """By others, such as security.capability, an image could give rights away."""

    def check(self, value: str, seen: Seen) -> None:
        if not _is_of_the_owner(value):
            raise Wrong("is no attribute that a file may get", f"user.* or {_ACCESS}", value[:60])


Extended = Annotated[
    dict[
        Annotated[str, Length(1, 255), NoNul(), _OfTheOwner()], Annotated[bytes, Length(0, 1 << 16)]
    ],
    Length(0, 4096),
]


def _is_of_the_owner(name: str) -> bool:
    return name.startswith("user.") or name == _ACCESS


def take(path: str) -> dict[str, bytes]:
    """Empty where the file system has none."""
    found: dict[str, bytes] = {}
    try:
        names = os.listxattr(path)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
            raise
        return found
    for name in names:
        if _is_of_the_owner(name):
            with contextlib.suppress(PermissionError):  # the mode keeps user.* to who may read
                found[name] = os.getxattr(path, name)
    return found


def give(path: str, extended: dict[str, bytes]) -> None:
    """Before the mode, which may forbid it."""
    for name, value in extended.items():
        os.setxattr(path, name, value)

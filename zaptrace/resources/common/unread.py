"""Sockets that hold what nobody can have them read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import Unsettled
from .file import unsupported

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile


def refuse_unread(file: FrozenFile, kind: str, what: str, held: int, told_by: str) -> None:
    """Raises Unsettled for a socket of this kind that holds so many bytes of `what`."""
    if held:
        raise unsupported(
            file,
            f"is a {kind} socket with {what} that were not read yet",
            kind=Unsettled,
            needed="an empty one: what has come there, nobody can send again",
            found=f"{held} bytes of memory held by {what} ({told_by})",
            do="try again once the program has read them",
        )

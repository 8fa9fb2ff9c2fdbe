"""What waits to be read from a unix socket, as it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ...shapes import U32, Data, Id, Length, NamesFile
from ..common.socket import UnixName

MOST_FILES = 253  # SCM_MAX_FD


@dataclass(frozen=True)
class Sender:
    """Who has sent a message, as SCM_CREDENTIALS tells it."""

    vpid: Id
    uid: U32
    gid: U32


@dataclass(frozen=True)
class Message:
    """A datagram, or bytes of a stream that were sent together."""

    data: Data
    source: UnixName
    """The sender's address, if it had one."""
    sender: Sender | None
    """None if it tells nobody, as neither end had asked for that (SO_PASSCRED)."""
    files: Annotated[list[NamesFile], Length(0, MOST_FILES)]
    """The open files that come with it (SCM_RIGHTS)."""
    urgent: bool = False
    """A byte that was sent out of band (MSG_OOB)."""

"""What is kept of a unix socket."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Annotated

from ...shapes import (
    U32,
    Backlog,
    Data,
    Gives,
    Id,
    Length,
    Mode,
    Names,
    NamesLivingOrNone,
    NoNul,
    OneOf,
    PathOrNone,
    Range,
    Size,
    Word,
)
from ..common.file import Description
from ..common.options import GENERAL, Options
from ..common.permission import Permission
from ..common.socket import Filter, UnixName
from .message import Message

NAME = "unix_socket"

# What the lower half notes (csrc/resources/unix_socket.c): by a socket's inode where its path begins,
NOTED = struct.Struct("=Q")
# and that somebody has asked for senders.
SENDERS = b"senders"


def is_note(key: bytes, value: bytes) -> bool:
    directory = value.startswith(b"/") and len(value) < _PATH_MAX and b"\0" not in value
    return key == SENDERS or (len(key) == NOTED.size and directory)


_PATH_MAX = 4096

LISTENING, CONNECTED, ORPHANED, UNCONNECTED = "listening", "connected", "orphaned", "unconnected"
WAITING = "waiting"


@dataclass(frozen=True)
class Peer:
    """Whom a socket tells as its peer (SO_PEERCRED); `vpid` is 0 for one outside the pod."""

    vpid: Id
    uid: U32
    gid: U32
    groups: Annotated[list[U32], Length(0, 1 << 16)] | None = None
    """None: it is the supervisor's user, with all its groups."""


@dataclass(frozen=True)
class Socket(Description):
    type: Annotated[int, OneOf(socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)]
    ino: Annotated[int, Range(1, (1 << 63) - 1), Gives("unix socket")]
    status: Annotated[str, OneOf(LISTENING, CONNECTED, ORPHANED, UNCONNECTED, WAITING)]
    """`listening`, `connected`, `orphaned` (its peer was closed), `unconnected`, or `waiting`: it has
    connected, and was not accepted yet."""
    peer: Annotated[int, Names("unix socket", but=(0,))]
    """`ino` of the peer where that is in the pod, else 0. Of one that waits, its listener's."""
    told: Peer | None
    told_fd: Annotated[int, Range(-1, 1 << 30)]
    """A descriptor of it in the process that it tells, or -1."""
    name: UnixName
    """A path without its NUL, b"\\0..." if abstract, b"" if it has none."""
    bound: bool
    """It has its name from bind(2); an accepted one has its listener's."""
    directory: PathOrNone
    """Where the path of one that is bound begins; b"" is the root, or not known."""
    place: Annotated[bytes, Length(0, 255), NoNul()]
    """The name, in the directory of its path, that its file has now; b"" if that was removed."""
    mode: Mode
    """Of that file."""
    peer_name: UnixName
    peer_path: PathOrNone
    """Where one that is outside the pod is to be found; b"" for an abstract one."""
    backlog: Backlog
    clients: list[Annotated[int, Names("unix socket", but=(0,))]]
    """`ino` of those who wait to be accepted, in order: of the client, or, where we have accepted it to
    look at it, of the end that the program will accept."""
    connector: NamesLivingOrNone
    """The process that one who waits will be told to belong to."""
    shutdown: Annotated[int, Range(0, 3)]
    queue: list[Message]
    unread: Size
    """What its sending counts as not read yet (SIOCOUTQ): the bytes, and what it costs to keep them."""
    reset: bool
    """The peer was closed before it had read all; the next read says ECONNRESET."""
    options: Annotated[dict[Word, Data], Options(GENERAL)]
    filter: Filter
    connector_as: Peer | None = None
    """The same process, where it is another user than the supervisor."""
    placed: Permission | None = None
    """Of the file of one that is bound, with its owner."""


def shown(name: bytes) -> str:
    """A name in an error."""
    return os.fsdecode(b"@" + name[1:] if name.startswith(b"\0") else name)


def is_path(name: bytes) -> bool:
    return bool(name) and not name.startswith(b"\0")

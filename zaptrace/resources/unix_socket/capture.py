"""What a pod's unix sockets are."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import UnsupportedResource
from ...linux import outside, sock_diag
from ...log import log
from ..common.file import described, unsupported
from ..common.libc import checked, libc
from ..common.options import GENERAL
from ..common.permission import Permission
from ..common.privilege import CAP_SETGID, CAP_SETUID, beginning
from ..common.socket import borrowed, filter_of, name_bytes, options, unread
from . import diag as diag
from .message import Message
from .names import path_of
from .place import find, in_use
from .queue import look
from .state import (
    CONNECTED,
    LISTENING,
    NAME,
    NOTED,
    ORPHANED,
    UNCONNECTED,
    WAITING,
    Peer,
    Socket,
    is_path,
    shown,
)
from .unaccepted import clients_of, connector

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile, FrozenPod

_SO_PEERGROUPS = 59
_MOST_GROUPS = 1 << 16  # NGROUPS_MAX
_GID = struct.Struct("=I")
_UCRED = struct.Struct("=iII")
_BOTH = 3
"""RCV_SHUTDOWN and SEND_SHUTDOWN: what the kernel sets where the peer is closed."""


def find_files_under_way(pod: FrozenPod, file: FrozenFile) -> None:
    """Have the pod know the open files that wait in the queue of a socket."""
    waiting = file.info.get("scm_fds")  # since Linux 5.8
    if waiting is not None and not int(waiting[0]):
        return
    _refuse_untold(file)
    with borrowed(file.local) as sock:
        _queue(file, sock, _known(file))


def look_at_all(pod: FrozenPod) -> list[Socket]:
    files = pod.files(NAME)
    if not files:
        return []
    _refuse_untold(files[0])
    inside = {file.stat.st_ino for file in files}
    every = diag.everything(inside)
    sight = _Sight(
        inside,
        {known.ino: known for known in every},
        Counter((known.name, known.file) for known in every if known.name),
        pod.store(NAME),
        {client: known.ino for known in every for client in known.clients if client},
        pod.outside == "close",
    )
    return [_look_at(pod, file, sight) for file in files]


@dataclass(frozen=True)
class _Sight:
    """All unix sockets around."""

    inside: set[int]
    known: dict[int, diag.UnixSocket]
    named: Counter[tuple[bytes, tuple[int, int] | None]]
    notes: dict[bytes, bytes]
    waits: dict[int, int]
    """The listener of each that was not accepted yet, by their numbers."""
    close_outside: bool
    """In the image, streams to outside the pod have been closed there: what had come is read first."""

    def directory(self, ino: int) -> bytes:
        return self.notes.get(NOTED.pack(ino), b"")


def _refuse_untold(file: FrozenFile) -> None:
    if not sock_diag.tells_of(socket.AF_UNIX):
        raise unsupported(
            file,
            "is a unix socket, of which this kernel does not tell",
            needed="CONFIG_UNIX_DIAG, or the module unix_diag",
            do="as root: modprobe unix_diag",
        )


def _known(file: FrozenFile) -> diag.UnixSocket:
    known = diag.lookup(file.stat.st_ino)
    if known is None:
        raise _elsewhere(file)
    return known


def _elsewhere(file: FrozenFile) -> UnsupportedResource:
    return unsupported(file, "is a unix socket of another network namespace")


def _look_at(pod: FrozenPod, file: FrozenFile, sight: _Sight) -> Socket:
    known = sight.known.get(file.stat.st_ino)
    if known is None:
        raise _elsewhere(file)
    with borrowed(file.local) as sock:
        status = _status(file, known, sight)
        peer_name = b""
        with contextlib.suppress(OSError):
            peer_name = name_bytes(sock.getpeername())
        peer = known.peer if known.peer in sight.inside and known.peer else 0
        if status == WAITING:
            peer = sight.waits[known.ino]
        told = _told(pod, file, sock)
        bound, place, mode = _place(known, status, sight)
        cut = status == ORPHANED and known.peer
        reset, queue = _queue(file, sock, known)
        if queue and status == UNCONNECTED and not known.name:
            raise unsupported(file, "has messages but neither an address nor a peer")
        placed = _placed(known, sight) if place else None
        return Socket(
            **described(pod, file),
            type=sock.type,
            ino=known.ino,
            status=status,
            peer=peer,
            told=told,
            told_fd=_held_by(file, told.vpid) if told else -1,
            name=known.name,
            bound=bound,
            directory=sight.directory(known.ino) if bound else b"",
            place=place,
            mode=mode,
            peer_name=peer_name,
            peer_path=b"" if peer or status != CONNECTED else _outside(file, known, sight),
            backlog=known.backlog if status == LISTENING else 0,
            clients=clients_of(pod, known, sight.inside) if status == LISTENING else [],
            connector=(connects := connector(file) if status == WAITING else 0),
            placed=placed,
            connector_as=_as_it_is(pod, connects) if connects else None,
            shutdown=_BOTH if cut else known.shutdown,
            queue=queue,
            unread=unread(sock.fileno()),
            reset=reset,
            options=options(sock, GENERAL),
            filter=filter_of(file, sock),
        )


def _status(file: FrozenFile, known: diag.UnixSocket, sight: _Sight) -> str:
    if known.state == diag.LISTEN:
        return LISTENING
    if known.peer is None:
        return UNCONNECTED
    if sight.waits.get(known.ino) in sight.inside:
        return WAITING
    if known.peer in sight.inside or (known.peer and known.type == socket.SOCK_DGRAM):
        return CONNECTED
    if known.peer == 0 and (known.shutdown == _BOTH or known.type == socket.SOCK_DGRAM):
        return ORPHANED
    if sight.close_outside and known.peer:
        return ORPHANED
    found = f"its peer is socket:[{known.peer}], which no process of the pod holds"
    if known.peer == 0:
        found = "nobody has accepted it yet, and who listens is not in the pod"
    raise unsupported(
        file,
        "is a unix socket to a process outside the pod",
        needed="both ends of the connection in the pod",
        found=found,
        do="start the other process in the pod too, end the connection first, or have it cut in the "
        "image: --outside close",
    )


def _queue(
    file: FrozenFile, sock: socket.socket, known: diag.UnixSocket
) -> tuple[bool, list[Message]]:
    if known.state == diag.LISTEN:
        return False, []
    if known.peer is None and known.type != socket.SOCK_DGRAM:
        return False, []
    return look(file, sock, known)


def _told(pod: FrozenPod, file: FrozenFile, sock: socket.socket) -> Peer | None:
    rpid, uid, gid = _UCRED.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    if not rpid and (uid, gid) == (0xFFFFFFFF, 0xFFFFFFFF):
        return None
    groups = sorted(_peer_groups(sock))
    own = (os.geteuid(), os.getegid(), sorted(os.getgroups()))
    vpid = pod.peer_vpid(rpid)
    if (uid, gid, groups) == own:
        return Peer(vpid, uid, gid)
    if not vpid or not beginning().has(CAP_SETUID, CAP_SETGID):
        raise unsupported(
            file,
            "is a unix socket to another user",
            needed=f"a peer of user {own[0]}, group {own[1]}, groups {own[2]}",
            found=f"one of user {uid}, group {gid}, groups {groups}",
        )
    return Peer(vpid, uid, gid, groups)


def _as_it_is(pod: FrozenPod, vpid: int) -> Peer | None:
    """Its own ids now, of who has connected; None where that is the supervisor's user."""
    process = pod.process(vpid)
    uid, gid = (int(process.status[key].split()[1]) for key in ("Uid", "Gid"))
    groups = sorted(map(int, process.status["Groups"].split()))
    if (uid, gid, groups) == (os.geteuid(), os.getegid(), sorted(os.getgroups())):
        return None
    return Peer(process.vpid, uid, gid, groups)


def _peer_groups(sock: socket.socket) -> tuple[int, ...]:
    """More than fit into what Python asks for."""
    size = ctypes.c_uint32(_MOST_GROUPS * _GID.size)
    groups = ctypes.create_string_buffer(size.value)
    into = sock.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS, groups, ctypes.byref(size)
    checked(libc.getsockopt(*into))
    return tuple(gid for (gid,) in _GID.iter_unpack(groups.raw[: size.value]))


def _held_by(file: FrozenFile, vpid: int) -> int:
    return next((number for process, number in file.holders if process.vpid == vpid), -1)


# names


def _place(known: diag.UnixSocket, status: str, sight: _Sight) -> tuple[bool, bytes, int]:
    """(it is bound itself, what its file is called now, and its mode)."""
    if not known.name:
        return False, b"", 0
    accepting = known.type != socket.SOCK_DGRAM and status in (CONNECTED, ORPHANED)
    if not is_path(known.name):
        return not (accepting and _is_accepted(known, sight)), b"", 0
    if accepting and sight.named[known.name, known.file] > 1:
        return False, b"", 0  # its listener is there, or another that was accepted
    directory = sight.directory(known.ino)
    path = path_of(known.name, directory)
    found = b""
    if path.startswith(b"/") and known.file:
        found = find(path, known.file)
    if accepting and not directory and not (found and in_use(found)):
        return False, b"", 0  # the file of a listener that is gone
    if not found:
        log.info("the file of the unix socket %s was removed: so it stays", shown(path))
        return True, b"", 0
    return True, os.path.basename(found), stat.S_IMODE(outside.lstat(found).st_mode)


def _placed(known: diag.UnixSocket, sight: _Sight) -> Permission | None:
    path = path_of(known.name, sight.directory(known.ino))
    found = find(path, known.file) if known.file else b""
    return Permission.of(outside.lstat(found)) if found else None


def _is_accepted(known: diag.UnixSocket, sight: _Sight) -> bool:
    """Is this end, whose name is abstract, the one that was accepted?"""
    if sight.named[known.name, None] > 1:
        return True
    peer = sight.known.get(known.peer or 0)
    if peer is None or not peer.name:
        return True
    if sight.named[peer.name, peer.file] > 1:
        return False
    return known.ino > peer.ino  # whose listener is gone: sockets are numbered as they are made


def _outside(file: FrozenFile, known: diag.UnixSocket, sight: _Sight) -> bytes:
    """The path by which a datagram socket outside the pod can be found again."""
    peer = sight.known.get(known.peer or 0)
    if peer is not None and peer.name.startswith(b"\0"):
        return b""
    path = b""
    if peer is not None and peer.name.startswith(b"/") and peer.file:
        path = find(peer.name, peer.file)
    if not path:
        raise unsupported(
            file,
            "sends to a socket outside the pod that cannot be found again",
            needed="a socket with an abstract address, or with its file in the directory of its path",
            found=shown(peer.name) if peer is not None and peer.name else "one without a name",
        )
    return path

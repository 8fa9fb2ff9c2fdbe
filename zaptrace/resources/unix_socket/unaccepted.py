"""Connections that nobody has accepted yet. Only the client's end of one can be looked at.

What cannot be carried unseen, as something was sent on it or its client is gone, is accepted by us, with
all that waits at the same listener (view/kept.py). As a rule the program accepts it in a moment, so
that is waited for first.

Others outside connect while the pod stands still. Who was not there at the first look came later than
what the image tells of, and is not in it.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import functools
import os
import socket
import struct
import termios
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import Unsettled, UnsupportedResource
from ...linux import outside
from ...linux.besides import put_on
from ...linux.native import lib
from ...log import log
from ..common.file import opened, unsupported
from ..common.socket import borrowed
from . import diag as diag
from .names import path_of
from .place import beneath, find
from .state import NAME, NOTED, is_path, shown

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile, FrozenPod

_UCRED = struct.Struct("=iII")
_MOST_INODE = (1 << 31) - 1
"""What the tracer can note."""


class Unseen:
    """Listeners at which something waits that has to be accepted to be looked at; none of the `looked_at`.

    Raises Unsettled for what may not be accepted now, or not by us.
    """

    def __init__(self, pod: FrozenPod, looked_at: set[int]) -> None:
        self._pod = pod
        self._files = {file.stat.st_ino: file for file in pod.files(NAME)}
        everything = diag.everything(self._files) if self._files else []
        new = [one for one in everything if one.ino in self._files and one.ino not in looked_at]
        listeners = [known for known in new if known.state == diag.LISTEN]
        looked_at.update(known.ino for known in listeners)
        self._listeners = [known for known in listeners if known.clients and self._is_unseen(known)]

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def _is_unseen(self, known: diag.UnixSocket) -> bool:
        file, inside = self._files[known.ino], self._files
        fillers = self._pod.kept.fillers(known.ino)
        clients = [client for client in known.clients if client not in fillers]
        lost = [client for client in clients if client not in inside]
        sent = [
            inside[client] for client in clients if client in inside and _has_sent(inside[client])
        ]
        if not lost and not sent:
            return False
        carried = self._pod.outside == "close" or not any(lost)
        if carried and self._pod.keeps and self._can_keep(file, known):
            return True
        raise _lost(file, known, len(clients), lost.count(0)) if lost else _sent(sent[0])

    def _can_keep(self, file: FrozenFile, known: diag.UnixSocket) -> bool:
        """Does the pod alone accept there, and can clients of ours wait there instead, unnoticed?"""
        if not file.holders or file.flags & os.O_ASYNC or known.ino > _MOST_INODE:
            return False
        if known.shutdown:  # nobody can connect any more
            return False
        with borrowed(file.local) as sock:
            told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        if known.waiting > known.backlog + 1 or not self._pod.peer_vpid(_UCRED.unpack(told)[0]):
            return False
        with self._address(known) as address:
            return bool(address)

    @contextlib.contextmanager
    def _address(self, known: diag.UnixSocket) -> Iterator[bytes]:
        """By which we can connect to it; b"" if by none."""
        if not is_path(known.name):
            yield known.name
            return
        path = path_of(known.name, self._pod.store(NAME).get(NOTED.pack(known.ino), b""))
        found = find(path, known.file) if path.startswith(b"/") and known.file else b""
        if not found or not outside.can(found, os.W_OK):
            yield b""
            return
        with opened(os.path.dirname(found), os.O_PATH | os.O_DIRECTORY) as fd:
            yield beneath(fd, os.path.basename(found))

    def keep(self) -> None:
        """Accept it."""
        pod = self._pod
        if not lib.zt_pod_keeps(pod.handle):
            put_on(pod.handle, kept=True)
        for known in self._listeners:
            with borrowed(self._files[known.ino].local) as sock, self._address(known) as address:
                if lib.zt_pod_keep(pod.handle, known.ino, 1):
                    raise MemoryError
                pod.kept.empty(known.ino, sock, len(known.clients))
                if not pod.kept.fill(known.ino, address):
                    log.warning("%s shows fewer connections than wait there", shown(known.name))


def know_kept(pod: FrozenPod) -> None:
    """Have the pod know the connections that we keep, as files that are under way. While it is looked
    at, none has our mark."""
    pod.kept.forget_closed()
    for file in pod.files(NAME):
        for fd in pod.kept.connections(file.stat.st_ino):
            pod.kept.unmark(file.stat.st_ino, fd)
            pod.under_way(os.dup(fd))
            if not pod.at_close:
                pod.at_close.append(functools.partial(_mark, pod))


def _mark(pod: FrozenPod) -> None:
    """The connections on which nothing was sent."""
    files = {file.stat.st_ino: file for file in pod.files(NAME)}
    for listener in files:
        for fd in pod.kept.connections(listener):
            known = diag.lookup(os.fstat(fd).st_ino)
            client = files.get(known.peer) if known and known.peer else None
            if client is not None and not _has_sent(client):
                with borrowed(client.local) as sock:
                    pod.kept.mark(listener, fd, sock)


def clients_of(pod: FrozenPod, known: diag.UnixSocket, inside: set[int]) -> list[int]:
    """Who waits at a listener, in order: the other end of a connection that we keep, or a client of the
    pod. Others are ours, or came after it was looked at."""
    kept = [os.fstat(fd).st_ino for fd in pod.kept.connections(known.ino)]
    return kept + [client for client in known.clients if client in inside]


def _has_sent(file: FrozenFile) -> bool:
    sent = array.array("i", [0])
    fcntl.ioctl(file.local, termios.TIOCOUTQ, sent)
    return bool(sent[0])


def _lost(file: FrozenFile, known: diag.UnixSocket, waiting: int, gone: int) -> UnsupportedResource:
    what = f"{gone} that were closed again" if gone else "one from outside the pod"
    or_cut = "" if gone == waiting else ", or have them cut in the image: --outside close"
    return unsupported(
        file,
        "has connections that were not accepted yet, whose other end is not in the pod",
        needed="connections with both ends in the pod",
        found=f"{what}, of {waiting} waiting at {shown(known.name)}",
        do=f"try again once the program has accepted them{or_cut}",
        kind=Unsettled,
    )


def _sent(file: FrozenFile) -> UnsupportedResource:
    return unsupported(
        file,
        "has sent what cannot be looked at, as nobody has accepted its connection yet",
        needed="connections that were accepted, or on which nothing was sent",
        do="try again once the program has accepted it",
        kind=Unsettled,
    )


def connector(file: FrozenFile) -> int:
    """Who has connected: the first that has it, as others have it from that one."""
    if not file.holders:
        raise unsupported(file, "is a unix connection that was not accepted yet")
    return file.holders[0][0].vpid

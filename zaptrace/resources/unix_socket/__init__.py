"""unix(7) sockets: pairs and connections inside the pod, listeners, bound and unbound ones.

Of each: its address, options, shut-down halves, and what waits to be read, message by message,
looked at with MSG_PEEK and SO_PEEK_OFF, which take nothing out. A peer that was closed stays
closed. A datagram socket that talks to one outside (as syslog's clients do) is connected again.

Not carried, and refused: a stream to a process outside the pod, a connection not accepted yet,
file descriptors on their way (SCM_RIGHTS), a socket filter, an error not read yet on a socket
with messages. Not carried: who sent queued data (SCM_CREDENTIALS), the credentials that
SO_PEERCRED tells, out-of-band marks, the sender of a datagram that is not in the pod, the address
of a connected socket where it cannot be bound here.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ...errors import RestoreError
from ...log import log
from ...view.build import Stage
from ..common.file import Description, described, finish, restoring, unsupported
from ..common.libc import apart
from ..common.socket import (
    GENERAL,
    borrowed,
    domain,
    has_filter,
    name_bytes,
    options,
    set_options,
    usual_room,
)
from . import diag as diag
from .queue import Message, look

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod

NAME = "unix_socket"

LISTENING, CONNECTED, ORPHANED, UNCONNECTED = "listening", "connected", "orphaned", "unconnected"
_ROOM = 1 << 22


@dataclass(frozen=True)
class State(Description):
    type: int
    ino: int
    status: str
    """`listening`, `connected`, `orphaned` (its peer was closed) or `unconnected`."""
    peer: int
    """`ino` of the peer where that is in the pod, else 0."""
    name: bytes
    peer_name: bytes
    directory: bytes
    """What a relative `name` is relative to."""
    path_mode: int
    """Mode of the file at `name`; 0 if it is not there any more."""
    backlog: int
    shutdown: int
    queue: list[Message]
    reset: bool
    """The peer was closed before it had read all; the next read says ECONNRESET."""
    options: dict[str, bytes]


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    return domain(file.local) == socket.AF_UNIX


# capture


def capture(pod: FrozenPod) -> list[State]:
    files = pod.files(NAME)
    inside = {file.stat.st_ino for file in files}
    return [_capture(pod, file, inside) for file in files]


def _capture(pod: FrozenPod, file: FrozenFile, inside: set[int]) -> State:
    known = diag.lookup(file.stat.st_ino)
    if known is None:
        raise unsupported(file, "is a unix socket of another network namespace")
    with borrowed(file.local) as sock:
        if has_filter(sock):
            raise unsupported(file, "is a socket with a filter", do="run it without the filter")
        status = _status(file, known, inside)
        name = name_bytes(sock.getsockname())
        peer_name = b""
        with contextlib.suppress(OSError):
            peer_name = name_bytes(sock.getpeername())
        directory, path_mode = _place(file, name)
        reset = False
        queue: list[Message] = []
        if status != LISTENING:
            reset, queue = look(file, sock, known)
        if queue and status == UNCONNECTED and not name:
            raise unsupported(file, "has messages but neither an address nor a peer")
        return State(
            **described(pod, file),
            type=sock.type,
            ino=known.ino,
            status=status,
            peer=known.peer if known.peer in inside and known.peer else 0,
            name=name,
            peer_name=peer_name,
            directory=directory,
            path_mode=path_mode,
            backlog=known.backlog if status == LISTENING else 0,
            shutdown=known.shutdown,
            queue=queue,
            reset=reset,
            options=options(sock, GENERAL),
        )


def _status(file: FrozenFile, known: diag.UnixSocket, inside: set[int]) -> str:
    if known.state == diag.LISTEN:
        if known.waiting:
            raise unsupported(
                file,
                "has connections that were not accepted yet",
                needed="an empty queue of connections",
                found=f"{known.waiting} waiting at {_shown(known.name)}",
                do="try again once the program has accepted them",
            )
        return LISTENING
    if known.peer is None:
        return UNCONNECTED
    if known.peer in inside or (known.peer and known.type == socket.SOCK_DGRAM):
        return CONNECTED
    if known.peer == 0 and (known.shutdown == 3 or known.type == socket.SOCK_DGRAM):
        return ORPHANED
    if known.peer == 0:
        raise unsupported(
            file,
            "is a unix connection that was not accepted yet",
            needed="a connection with both ends in the pod",
            do="try again once the other side has accepted it",
        )
    raise unsupported(
        file,
        "is a unix socket to a process outside the pod",
        needed="both ends of the connection in the pod",
        found=f"its peer is socket:[{known.peer}], which no process of the pod holds",
        do="start the other process in the pod too, or end the connection first",
    )


def _place(file: FrozenFile, name: bytes) -> tuple[bytes, int]:
    """(directory, mode) of the file that `name` made; mode 0 if it is gone."""
    if not name or name.startswith(b"\0"):
        return b"", 0
    directory = b""
    if not name.startswith(b"/") and file.holders:
        directory = os.fsencode(os.readlink(f"{file.holders[0][0].proc}/cwd"))
    with contextlib.suppress(OSError):
        there = os.stat(os.path.join(directory, name))
        if stat.S_ISSOCK(there.st_mode):
            return directory, stat.S_IMODE(there.st_mode)
    return directory, 0


# restore


def restore(states: list[State], build: Build) -> None:
    if not states:
        return
    build.at(Stage.CLAIM, _claim, states, build)
    if build.rehearsal:
        build.at(Stage.SHARED, _rehearse, states, build)
    else:
        build.at(Stage.SHARED, _make, states, build)


def _shown(name: bytes) -> str:
    return os.fsdecode(b"@" + name[1:] if name.startswith(b"\0") else name)


def _own_names(states: list[State]) -> list[State]:
    """The sockets that hold an address themselves (an accepted one has its listener's)."""
    streams = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
    return [
        s
        for s in states
        if s.name and (s.status in (LISTENING, UNCONNECTED) or s.type not in streams)
    ]


def _claim(states: list[State], build: Build) -> None:
    taken = {known.name for known in diag.everything() if known.name}
    for state in _own_names(states):
        problem = f"the address {_shown(state.name)} of a unix socket"
        if state.name in taken and not build.contended:
            raise _taken(problem, "a socket of another process is bound to it")
        if state.name.startswith(b"\0"):
            continue
        path = os.path.join(state.directory, state.name)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise _taken(problem, "a file of another kind is there")
        if not os.access(os.path.dirname(path) or b".", os.W_OK | os.X_OK):
            raise _taken(problem, "its directory is not there, or cannot be written to")
    for state in states:
        if state.status == CONNECTED and not state.peer and state.peer_name not in taken:
            raise RestoreError(
                f"cannot restore a socket that sends to {_shown(state.peer_name)}",
                stage=Stage.CLAIM.name,
                resource=NAME,
                needed="a datagram socket bound to that address",
                found="none",
                do="start the service that listens there",
            )


def _taken(what: str, found: str) -> RestoreError:
    return RestoreError(
        f"cannot restore {what}",
        stage=Stage.CLAIM.name,
        resource=NAME,
        needed="an address that is free, or a stale socket file",
        found=found,
        do="end what uses it, or remove the file",
    )


def _make(states: list[State], build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "the unix sockets"):
        _Maker(states).run(build)


def _rehearse(states: list[State], build: Build) -> None:
    """The same under other names: the real ones are the original's, and others know them."""
    with tempfile.TemporaryDirectory(prefix="zt-") as home:
        names = {name for state in states for name in (state.name, state.peer_name) if name}
        outside = {s.peer_name for s in states if s.status == CONNECTED and not s.peer}
        aliases = {
            name: (b"\0" if name.startswith(b"\0") else b"") + os.fsencode(f"{home}/{n}")
            for n, name in enumerate(sorted(names - outside))
        }
        _make(
            [
                replace(
                    state,
                    name=aliases.get(state.name, state.name),
                    peer_name=aliases.get(state.peer_name, state.peer_name),
                    queue=[
                        replace(message, source=aliases.get(message.source, message.source))
                        for message in state.queue
                    ],
                )
                for state in states
            ],
            build,
        )


class _Maker:
    """All unix sockets of a pod are made together, since they are each other's peers."""

    def __init__(self, states: list[State]) -> None:
        self.states = {state.ino: state for state in states}
        self.made: dict[int, socket.socket] = {}
        self.by_name: dict[bytes, State] = {}
        self.mates: dict[int, socket.socket] = {}
        """By ino: peers that fill the queue of an orphaned socket and are then closed."""

    def run(self, build: Build) -> None:
        with contextlib.ExitStack() as stack:
            if build.contended:
                for state in _own_names(list(self.states.values())):
                    stack.enter_context(_path_lent(state, build))
            self._run(build)

    def _run(self, build: Build) -> None:
        try:
            for state in self.states.values():
                if self._stands_alone(state):
                    self._bound(state, build)
            for state in self.states.values():
                if state.ino not in self.made:
                    self._joined(state)
            for state in self.states.values():
                self._fill(state)
            for state in self.states.values():
                self._connect(state)
            for sock in self.mates.values():
                sock.close()
            for state in self.states.values():
                sock = self.made[state.ino]
                self._shut(state, sock)
                usual_room(sock)
                set_options(sock, state.options, GENERAL)
            for ino in list(self.made):
                finish(build, self.states[ino], self.made.pop(ino).detach())
        finally:
            for sock in [*self.made.values(), *self.mates.values()]:
                sock.close()

    def _stands_alone(self, state: State) -> bool:
        if state.status in (LISTENING, UNCONNECTED):
            return True
        return state.type == socket.SOCK_DGRAM and bool(state.name or state.peer_name)

    def _bound(self, state: State, build: Build) -> None:
        sock = self.made[state.ino] = socket.socket(socket.AF_UNIX, state.type)
        if not state.name:
            return
        if build.contended and state.name.startswith(b"\0") and _is_taken(state):
            again = sock.dup()
            build.at_thaw(partial(_take_name, state, again), again.close)
        else:
            self.by_name[state.name] = state
            _take_name(state, sock.dup())

    def _joined(self, state: State) -> None:
        """Make `state` and its peer, which may be one that is closed again."""
        peer = self.states.get(state.peer)
        if peer is not None and peer.ino in self.made:  # dgram: one end of a pair has moved on
            self.made[state.ino] = socket.socket(socket.AF_UNIX, state.type)
            return
        mine, other = self._pair(state, peer)
        self.made[state.ino] = mine
        if peer is not None:
            self.made[peer.ino] = other
        else:
            self.mates[state.ino] = other
        for sock in (mine, other):
            # Room for the filling; the options of the State come last.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)

    def _pair(self, state: State, peer: State | None) -> tuple[socket.socket, socket.socket]:
        peer_name = peer.name if peer is not None else state.peer_name
        if state.type == socket.SOCK_DGRAM or not (state.name or peer_name):
            return socket.socketpair(socket.AF_UNIX, state.type)
        try:
            if peer_name and not (state.name in self.by_name and peer is not None):
                return self._connection(state, peer_name, state.name)
            other, mine = self._connection(peer or state, state.name, peer_name)
            return mine, other
        except OSError as error:
            log.warning(
                "a connection loses its address %s: %s", _shown(state.name or peer_name), error
            )
            return socket.socketpair(socket.AF_UNIX, state.type)

    def _connection(
        self, state: State, server_name: bytes, client_name: bytes
    ) -> tuple[socket.socket, socket.socket]:
        """(client, server), as connect(2) and accept(2) would name them."""
        kind, directory = state.type, state.directory
        with contextlib.ExitStack() as stack:
            known = self.by_name.get(server_name)
            if known is not None and known.status == LISTENING:
                listener, directory = self.made[known.ino], known.directory
            else:
                listener = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
                _in_directory(
                    directory, server_name, lambda: _bind_for_now(listener, server_name, stack)
                )
                listener.listen(1)
            client = socket.socket(socket.AF_UNIX, kind)
            try:
                if client_name and client_name not in self.by_name:
                    _in_directory(
                        directory, client_name, lambda: _bind_for_now(client, client_name, stack)
                    )
                _in_directory(directory, server_name, lambda: client.connect(server_name))
                return client, listener.accept()[0]
            except OSError:
                client.close()
                raise

    def _fill(self, state: State) -> None:
        sock = self.made[state.ino]
        alone = self._stands_alone(state)
        with contextlib.ExitStack() as stack:
            stranger = None
            for message in state.queue:
                if not alone:
                    self._send(self._peer_of(state), message.data)
                    continue
                source = self.by_name.get(message.source)
                if source is not None:
                    sender = self.made[source.ino]
                else:
                    stranger = stranger or stack.enter_context(
                        socket.socket(socket.AF_UNIX, state.type)
                    )
                    sender = stranger
                give = partial(sender.sendto, message.data, socket.MSG_DONTWAIT, state.name)
                _in_directory(state.directory, state.name, give)
        if state.reset and not alone:
            sock.send(b"\0", socket.MSG_DONTWAIT)  # what the peer will not have read

    def _peer_of(self, state: State) -> socket.socket:
        return self.made[state.peer] if state.peer else self.mates[state.ino]

    def _send(self, sock: socket.socket, data: bytes) -> None:
        view = memoryview(data)
        while True:
            view = view[sock.send(view, socket.MSG_DONTWAIT) :]
            if not view:
                return

    def _connect(self, state: State) -> None:
        if not self._stands_alone(state) or state.status != CONNECTED:
            return
        peer = self.states.get(state.peer)
        name = peer.name if peer is not None else state.peer_name
        directory = peer.directory if peer is not None else state.directory
        sock = self.made[state.ino]
        _in_directory(directory, name, lambda: sock.connect(name))

    def _shut(self, state: State, sock: socket.socket) -> None:
        if state.status == LISTENING or not state.shutdown:
            return
        how = {1: socket.SHUT_RD, 2: socket.SHUT_WR, 3: socket.SHUT_RDWR}[state.shutdown]
        with contextlib.suppress(OSError):  # a peer that is gone has shut it already
            sock.shutdown(how)


def _in_directory(directory: bytes, name: bytes, work: Callable[[], object]) -> None:
    """Do `work` in `directory` if `name` is relative to it."""
    if not directory or name.startswith((b"/", b"\0")):
        work()
        return

    def body() -> None:
        os.chdir(directory)
        work()

    apart(body)


@contextlib.contextmanager
def _path_lent(state: State, build: Build) -> Iterator[None]:
    """The path of our former self's socket is ours while sockets are made, and again from the thaw.

    A socket keeps the name that it was bound to wherever its file is moved, so meanwhile the files
    of both can stand beside the path that only one may have.
    """
    path = os.path.join(state.directory, state.name)
    former, next_ = path + b".zt-former", path + b".zt-next"
    if state.name.startswith(b"\0") or not os.path.lexists(path):
        yield
        return
    os.rename(path, former)
    try:
        yield
        if os.path.lexists(path):
            os.rename(path, next_)
            build.meanwhile[os.path.realpath(path)] = next_
            build.at_thaw(partial(os.rename, next_, path), partial(os.unlink, next_))
    finally:
        os.rename(former, path)


def _is_taken(state: State) -> bool:
    return any(known.name == state.name for known in diag.everything())


def _take_name(state: State, sock: socket.socket) -> None:
    """Give it its name; `sock` is ours, and closed once that is done."""
    _bind(state, sock)
    if state.status == LISTENING:
        sock.listen(state.backlog)
    sock.close()


def _bind(state: State, sock: socket.socket) -> None:
    name = state.name

    def body() -> None:
        if name.startswith(b"\0"):
            sock.bind(name)
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)  # the claim has found that nobody is bound to it
        sock.bind(name)
        if state.path_mode:
            os.chmod(name, state.path_mode)
        else:
            os.unlink(name)

    _in_directory(state.directory, name, body)


def _bind_for_now(sock: socket.socket, name: bytes, stack: contextlib.ExitStack) -> None:
    """Bind to `name`, whose file is removed when `stack` ends. A file that is there is not ours."""
    sock.bind(name)
    if not name.startswith(b"\0"):
        path = os.path.join(os.getcwdb(), name)
        stack.callback(os.unlink, path)

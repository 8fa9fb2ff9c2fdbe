"""All unix sockets of a pod are made together, since they are each other's peers.

Those that the kernel made in twos, by socketpair(2) or by accepting a connection, are *ends*; all
others stand alone. Where the other end is no more, a *mate* takes its part for a while.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ...linux.native import lib
from ..common.file import finish, opened
from ..common.options import GENERAL
from ..common.socket import disconnect, set_filter, set_options
from .actors import NOBODY, Actors, Address
from .binding import Binding
from .fullness import Fullness, roomy
from .held import Held
from .message import Message
from .names import bind
from .state import CONNECTED, LISTENING, NAME, NOTED, ORPHANED, WAITING, Peer, Socket, is_path

if TYPE_CHECKING:
    from ...view.build import Build

_DGRAM = socket.SOCK_DGRAM
_UCRED = struct.Struct("=iII")
_HOW = {1: socket.SHUT_RD, 2: socket.SHUT_WR, 3: socket.SHUT_RDWR}


@dataclass(frozen=True)
class _Connection:
    """`client` and `server` are ends; None is a mate of the other."""

    type: int
    client: Socket | None
    server: Socket | None
    name: bytes
    """Of the listener that accepted it."""

    @property
    def key(self) -> tuple[int, bytes]:
        return (self.type, self.name)


class Maker:
    """`make` has all sockets there, with their names, and files in the same places as open files that
    lead to them; `complete` gives them what they hold, once all is there that can wait in a queue."""

    def __init__(self, states: list[Socket], build: Build) -> None:
        self.build = build
        self.states = {state.ino: state for state in states}
        self.held = Held()
        """By ino those of the pod; beside them mates and senders that are no more."""
        self.other: dict[int, int] = {}
        """By ino: the other end of an end."""
        self.binding = Binding(build, self.held)
        self.addresses = self.binding.addresses
        self.strangers: dict[tuple[int, bytes], int] = {}
        """Senders that are no more, by their type and name."""
        self.by_name = {s.name: s for s in states if s.bound and s.type == _DGRAM}
        self.by_file = {state.file_id: state.ino for state in states}
        self.actors = Actors(build)
        to_accept = [self.states[ino] for state in states for ino in state.clients]
        self.unaccepted = {s.ino for s in to_accept if s.status != WAITING}
        """Ends that wait at a listener until the program accepts them."""

    def close(self) -> None:
        """Close what was not handed over to the build."""
        self.held.close()

    def make(self) -> None:
        store = lib.zt_pod_store(self.build.handle)
        former = [key for key in self.build.store(NAME) if len(key) == NOTED.size]
        for key in former:  # of sockets of the pod's former self
            lib.zt_store_remove(store, NAME.encode(), key, len(key))
        states = list(self.states.values())
        pairs, connections = self._ends()
        ends = {end.ino for pair in pairs for end in pair if end}
        ends |= {end.ino for c in connections for end in (c.client, c.server) if end}
        for state in states:
            if state.ino not in ends | self.unaccepted:
                self.held.put(state.ino, socket.socket(socket.AF_UNIX, state.type))
        self._make_pairs(pairs)
        self._make_connections(connections)
        for ino in self.unaccepted:
            self._make_client(self.states[ino])
        self.binding.bind([state for state in states if state.bound])
        for state in states:
            if self._has_moved_on(state):
                with self.held.use(state.ino) as sock:
                    disconnect(sock)

    def complete(self) -> None:
        """And hand them over to the build."""
        states = list(self.states.values())
        for state in states:
            if state.ino not in self.unaccepted:
                self._fill(state)
        for state in self._in_order_of_connect():
            self._connect(state)
        for state in states:
            if state.status == LISTENING and not self.binding.later(state):
                self._listen(state)
        self.actors.end()
        for state in states:
            self.binding.move_into_place(state)
            if state.ino not in self.unaccepted:
                self._finish(state)
        self.held.close()  # mates, and senders that are no more

    # two at once

    def _ends(self) -> tuple[list[tuple[Socket, Socket | None]], list[_Connection]]:
        """What is made by socketpair(2), and what by accepting."""
        pairs: list[tuple[Socket, Socket | None]] = []
        connections: list[_Connection] = []
        seen = self.unaccepted | {self.states[ino].peer for ino in self.unaccepted}
        # The other end first of one that has moved on: it shows whose end that was.
        for state in sorted(self.states.values(), key=lambda s: self._other_end(s) is None):
            if state.ino in seen or not self._is_end(state):
                continue
            peer = self._other_end(state)
            seen |= {state.ino, peer.ino if peer else 0}
            connection = self._connection(state, peer)
            if connection:
                connections.append(connection)
            else:
                pairs.append((state, peer))
        return pairs, connections

    def _is_end(self, state: Socket) -> bool:
        if state.type == _DGRAM:
            return state.told is not None  # only socketpair(2) makes it tell a peer
        return state.status in (CONNECTED, ORPHANED)

    def _other_end(self, state: Socket) -> Socket | None:
        """Known by being its peer without a name to connect to, or by both being each other's."""
        peer = self.states.get(state.peer)
        if peer is None or not self._is_end(peer):
            return None
        return peer if self._is_mutual(state) or not peer.name else None

    def _is_mutual(self, state: Socket) -> bool:
        peer = self.states.get(state.peer)
        return peer is not None and peer.peer == state.ino

    @staticmethod
    def _connection(state: Socket, peer: Socket | None) -> _Connection | None:
        if state.type == _DGRAM:
            return None
        for server, client in ((state, peer), (peer, state)):
            if server is not None and server.name and not server.bound:
                return _Connection(state.type, client, server, server.name)
        if peer is None and state.peer_name:
            return _Connection(state.type, state, None, state.peer_name)
        return None

    def _make_pairs(self, pairs: list[tuple[Socket, Socket | None]]) -> None:
        by_maker: dict[str, list[tuple[Socket, Socket | None]]] = defaultdict(list)
        for pair in pairs:
            by_maker[repr(_teller(pair[0]))].append(pair)
        for some in by_maker.values():
            made = self.actors.pairs(_teller(some[0][0]), [one.type for one, _ in some])
            for (one, other), (its, others) in zip(some, made, strict=True):
                self._join(one, its, other, others)

    def _make_connections(self, connections: list[_Connection]) -> None:
        by_listener: dict[tuple[int, bytes], list[_Connection]] = defaultdict(list)
        for connection in connections:
            by_listener[connection.key].append(connection)
        for (kind, name), some in by_listener.items():
            with (
                socket.socket(socket.AF_UNIX, kind) as listener,
                self._bound_for_now(listener, name) as address,
            ):
                for connection in some:
                    self._make_connection(connection, listener, address)

    def _make_connection(
        self, connection: _Connection, listener: socket.socket, address: Address
    ) -> None:
        """The client tells who listens, the server who connects."""
        client, server = connection.client, connection.server
        listens, connects = _teller(client), _teller(server)
        self.actors.listen(listens, listener, 1)
        end = socket.socket(socket.AF_UNIX, connection.type)
        try:
            self.actors.connect(connects, end, address)
            accepted = _accept(listener, self.actors.rpid(connects))
        except BaseException:
            end.close()
            raise
        if client is None and server is not None and server.peer_name:
            with self._bound_for_now(end, server.peer_name):
                pass
        self._join(client, end, server, accepted)

    def _join(
        self, one: Socket | None, its: socket.socket, other: Socket | None, others: socket.socket
    ) -> None:
        key, others_key = (
            self.held.put(state.ino if state else self.held.new_key(), sock)
            for state, sock in ((one, its), (other, others))
        )
        self.other |= {key: others_key, others_key: key}

    # names

    def _listen(self, state: Socket) -> None:
        """And have those wait who had connected; they tell who had listened then."""
        if self.unaccepted.intersection(state.clients):
            with self.held.use(state.ino) as sock:  # what is accepted has some of its options
                set_options(sock, state.options, GENERAL)
        for ino in state.clients:
            client = self.states[ino]
            if ino in self.unaccepted:
                self._connect_unaccepted(state, client)
                continue
            with self.held.use(state.ino) as sock, self.held.use(ino) as connecting:
                self.actors.listen(_teller(client), sock, state.backlog)
                self.actors.connect(_connector(client), connecting, self.addresses[state.ino])
        with self.held.use(state.ino) as sock:
            self.actors.listen(_teller(state), sock, state.backlog)

    def _make_client(self, end: Socket) -> None:
        """Whoever connects, of an end that nobody has accepted; of one that is gone, a mate."""
        if end.peer in self.states:
            self.other[end.ino] = end.peer
            return
        mate = socket.socket(socket.AF_UNIX, end.type)
        key = self.other[end.ino] = self.held.put(self.held.new_key(), mate)
        if end.peer_name:
            with self.held.use(key) as sock, self._bound_for_now(sock, end.peer_name):
                pass

    def _connect_unaccepted(self, listener: Socket, end: Socket) -> None:
        """And send what waits there."""
        key = self.other[end.ino]
        listens = _teller(self.states.get(end.peer, listener))
        with self.held.use(listener.ino) as sock, self.held.use(key) as connecting:
            self.actors.listen(listens, sock, listener.backlog)
            self.actors.connect(_teller(end), connecting, self.addresses[listener.ino])
        self._fill(end)
        if end.status == ORPHANED:
            os.close(self.held.take(key))

    @contextlib.contextmanager
    def _bound_for_now(self, sock: socket.socket, name: bytes) -> Iterator[Address]:
        """A name whose file is removed again."""
        if not is_path(name):
            sock.bind(name)
            yield Address(-1, name)
            return
        spot = bind(sock, name, b"", self.binding.directories)
        try:
            yield Address(spot.directory, spot.name)
        finally:
            spot.give_up()

    # what waits to be read

    def _fill(self, state: Socket) -> None:
        peer = self.states.get(self.other.get(state.ino, 0))
        size = sum(len(message.data) for message in state.queue)
        fullness = Fullness(size, peer.unread if peer else 0)
        for message in state.queue:
            if self._is_end(state) and not self._has_moved_on(state):
                self._send(self.other[state.ino], message, fullness)
            else:
                sender = self._sender(state.type, message.source)
                self._send(sender, message, fullness, self.addresses[state.ino])
        if state.reset:
            with self.held.use(state.ino) as sock:
                sock.send(b"\0", socket.MSG_DONTWAIT)  # what its peer never reads

    def _sender(self, kind: int, name: bytes) -> int:
        known = self.by_name.get(name) if name else None
        if known is not None:
            return known.ino
        if (kind, name) not in self.strangers:
            stranger = socket.socket(socket.AF_UNIX, kind)
            self.strangers[kind, name] = self.held.put(self.held.new_key(), stranger)
            if name:
                with (
                    self.held.use(self.strangers[kind, name]) as sock,
                    self._bound_for_now(sock, name),
                ):
                    pass
        return self.strangers[kind, name]

    def _send(
        self, sender: int, message: Message, fullness: Fullness, to: Address | None = None
    ) -> None:
        with self._files(message.files) as files, self.held.use(sender) as sock:
            self._send_pieces(sock, message, files, fullness, to)

    def _send_pieces(
        self,
        sock: socket.socket,
        message: Message,
        files: list[int],
        fullness: Fullness,
        to: Address | None,
    ) -> None:
        data = message.data
        whole = sock.type != socket.SOCK_STREAM
        while True:
            piece = data if whole else data[: fullness.next_piece(sock, bool(files))]
            give = partial(
                self.actors.send,
                sock,
                piece,
                files=files,
                sender=message.sender,
                to=to,
                urgent=message.urgent,
            )
            try:
                sent = give()
            except BlockingIOError:
                with roomy(sock):
                    sent = give()
            fullness.sent(sent)
            data, files = data[sent:], []
            if not data:
                return

    @contextlib.contextmanager
    def _files(self, file_ids: list[int]) -> Iterator[list[int]]:
        """Descriptors of ours for open files, some of which may be sockets that are being made."""
        fds: list[int] = []
        try:
            for file_id in file_ids:
                ino = self.by_file.get(file_id)
                if ino is None:
                    fds.append(os.dup(self.build.file(file_id)))
                else:
                    with self.held.use(ino) as sock:
                        fds.append(os.dup(sock.fileno()))  # others may go elsewhere meanwhile
            yield fds
        finally:
            for fd in fds:
                os.close(fd)

    # datagram sockets that connect(2) to another

    def _has_moved_on(self, state: Socket) -> bool:
        """From the end that socketpair(2) gave it."""
        if state.type != _DGRAM or not self._is_end(state):
            return False
        if state.status == ORPHANED:
            return bool(state.peer_name)
        return state.peer not in self.states or self.other[state.ino] != state.peer

    def _in_order_of_connect(self) -> list[Socket]:
        """One that has a peer takes no other: who connects to it has to do so before."""
        waiting = [s for s in self.states.values() if s.status in (CONNECTED, ORPHANED)]
        waiting = [s for s in waiting if not self._is_end(s) or self._has_moved_on(s)]
        callers: dict[int, int] = defaultdict(int)
        for state in waiting:
            if not self._is_mutual(state):
                callers[state.peer] += 1
        ordered = []
        ready = [s for s in waiting if not callers[s.ino]]
        while ready:
            state = ready.pop()
            ordered.append(state)
            peer = self.states.get(state.peer)
            if peer is not None and not self._is_mutual(state):
                callers[peer.ino] -= 1
                if not callers[peer.ino] and peer in waiting:
                    ready.append(peer)
        return ordered

    def _connect(self, state: Socket) -> None:
        with self.held.use(state.ino) as sock:
            self._connect_it(state, sock)

    def _connect_it(self, state: Socket, sock: socket.socket) -> None:
        if state.status == ORPHANED:
            key = self.held.put(self.held.new_key(), socket.socket(socket.AF_UNIX, _DGRAM))
            with self.held.use(key) as gone, self._bound_for_now(gone, state.peer_name) as address:
                self.actors.connect(NOBODY, sock, address)
        elif state.peer:
            self.actors.connect(NOBODY, sock, self.addresses[state.peer])
        elif state.peer_path:
            directory, name = os.path.split(state.peer_path)
            with opened(directory, os.O_PATH | os.O_DIRECTORY) as fd:
                self.actors.connect(NOBODY, sock, Address(fd, name))
        else:
            sock.connect(state.peer_name)

    # the rest

    def _finish(self, state: Socket) -> None:
        with self.held.use(state.ino) as sock:
            if state.shutdown:
                sock.shutdown(_HOW[state.shutdown])
            set_filter(sock, state.filter)
            set_options(sock, state.options, GENERAL)
            if state.directory:
                _note(self.build, sock, state.directory)
        finish(self.build, state, self.held.take(state.ino))


def _teller(state: Socket | None) -> Peer | None:
    """Who has to make the call that decides whom a socket tells."""
    return state.told if state and state.told and state.told.vpid else NOBODY


def _connector(client: Socket) -> Peer:
    return client.connector_as or Peer(client.connector, os.geteuid(), os.getegid())


def _accept(listener: socket.socket, rpid: int) -> socket.socket:
    """The connection of that process, which does nothing else; others may have found the address."""
    listener.setblocking(False)  # it waits already
    while True:
        accepted, _ = listener.accept()
        told = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        if _UCRED.unpack(told)[0] == rpid:
            return accepted
        accepted.close()


def _note(build: Build, sock: socket.socket, directory: bytes) -> None:
    """As the lower half notes it at the call."""
    key = NOTED.pack(os.fstat(sock.fileno()).st_ino)
    room, store = NAME.encode(), lib.zt_pod_store(build.handle)
    if lib.zt_store_put(store, room, key, len(key), directory, len(directory)):
        raise MemoryError

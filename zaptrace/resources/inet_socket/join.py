"""The TCP connections of a pod, made again.

Both ends connect to each other at once, as TCP has it for two that begin at the same time: so neither
needs a listener, each is a socket that may be there long before, and it takes a few microseconds. The
first to ask finds nobody and is refused, but does not hear that: until the other has answered it hears
only what has not passed a single router (IP_MINTTL), as the kernel's own refusals do not say of
themselves.

    one    bind   IP_MINTTL 255   connect: SYN   RST, not heard         SYN comes, SYN+ACK   ACK comes
    other  bind   IP_TTL 255                                     connect: SYN         SYN+ACK comes, ACK

Then what waited to be read is sent again, halves are shut down, and what the program has set for itself
is set, last. For an end whose other is no more, a socket of ours takes that part, and is closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ...linux.native import lib
from ...linux.program import Program
from ...view.build import Stage
from ..common.file import finish, restoring
from ..common.options import TCP
from ..common.socket import borrowed, set_filter, set_options
from . import flow
from .address import Address, address
from .backlog import Gone, enter_from, enter_gone, quiet
from .diag import TcpSocket, tcp_sockets
from .flow import Info, Unread
from .group import Group
from .state import BROKEN, CONNECTING, ENDED, NAME, RESET, Socket
from .stream import Ends
from .unseen import note_again
from .virtual import tell

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenProcess

_OURS = -1
"""For a file id: it is none of the pod's."""
_SOL, _TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
_IP, _IP6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
_TCP_MAXSEG = 2
_IP_TTL, _IP_MINTTL = 2, 21
_HOPS, _MINHOPCOUNT = 16, 73
_NEARBY = 255
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: an end that is closed is gone at once, and so is the other."""
_SNDBUF_LOCK, _RCVBUF_LOCK = 1, 2
_TAKEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)

_THE_KERNELS = ("SO_INCOMING_CPU", "TCP_QUICKACK", "TCP_MAXSEG", "TCP_FASTOPEN_CONNECT")
"""It changes them as a connection goes on, or they are of no use any more."""
_LAST = (
    "SO_LINGER", "SO_RCVLOWAT", "SO_OOBINLINE", "SO_TIMESTAMPING", "SO_TIMESTAMPING_NEW",
    "SO_PEEK_OFF", "SO_MAX_PACING_RATE", "SO_SNDBUF", "SO_RCVBUF", "SO_BUF_LOCK", "IP_TTL",
    "IP_MINTTL", "IPV6_UNICAST_HOPS", "IPV6_MINHOPCOUNT", "TCP_NODELAY", "TCP_CORK",
    "TCP_TX_DELAY", "TCP_WINDOW_CLAMP",
    "SO_REUSEADDR", "SO_LOCK_FILTER",
)  # fmt: skip
"""Set when all is done, as they would be in the way, or are needed otherwise until then."""


def of_connection(options: dict[str, bytes]) -> dict[str, bytes]:
    """Those that are the program's, of all that a connection shows."""
    drop = set(_THE_KERNELS)
    lock = options.get("SO_BUF_LOCK")
    if lock is not None or _knows_locks():
        bits = lock[0] if lock else 0
        drop |= {"SO_SNDBUF"} if not bits & _SNDBUF_LOCK else set()
        drop |= {"SO_RCVBUF"} if not bits & _RCVBUF_LOCK else set()
    return {k: v for k, v in options.items() if k not in drop and "MULTICAST" not in k}


def _knows_locks() -> bool:
    level, option, _ = TCP["SO_BUF_LOCK"]
    with socket.socket() as sock, contextlib.suppress(OSError):  # before Linux 5.14
        sock.getsockopt(level, option)
        return True
    return False


# the ends of a pod that will not go on here


def reset_at_end(files: list[FrozenFile]) -> None:
    """Their addresses shall be free at once, with nothing left that waits: the pod goes on elsewhere."""
    programs: dict[int, tuple[FrozenProcess, Program]] = {}
    for file in files:
        for process, fd in file.holders[:1]:
            _, program = programs.setdefault(process.rpid, (process, Program()))
            linger = program.data(_RESET)
            size = len(_RESET)
            program.call("setsockopt", fd, _SOL, socket.SO_LINGER, linger, size, may_fail=True)
    for process, program in programs.values():
        process.run(program)


# making them


def set_first(sock: socket.socket, state: Socket) -> None:
    """What is to be set before a connection is made."""
    assert state.stream is not None
    values = {k: v for k, v in state.options.items() if k not in _LAST}
    for name in ("SO_RCVBUF", "SO_BUF_LOCK"):  # decides how large its window may ever be
        if name in state.options:
            values[name] = state.options[name]
    set_options(sock, values, TCP)
    if state.stream.largest_segment:
        sock.setsockopt(_TCP, _TCP_MAXSEG, state.stream.largest_segment)
    sock.setsockopt(_SOL, socket.SO_REUSEADDR, 1)  # a listener of the pod's has the port, too


class _End:
    """One end; `sock` is ours to close."""

    def __init__(self, state: Socket, sock: socket.socket) -> None:
        self.state = state
        self.sock = sock

    @property
    def local(self) -> Address:
        local = self.state.local
        if local is None:
            return Address("127.0.0.1", 0, 0, 0).of(self.state.family)
        return local

    @property
    def ends(self) -> tuple[object, object]:
        return (self.local.key, self.state.peer.key if self.state.peer else None)


class Joiner:
    """Makes the connections of a pod. `open_` makes a socket, with what is set before it connects.

    Where the pod's former self lives on this host still, it has the addresses: they are taken at the
    thaw (`waits`).
    """

    def __init__(
        self,
        states: Sequence[Socket],
        listeners: Sequence[Socket],
        build: Build,
        open_: Callable[[Socket], socket.socket],
    ) -> None:
        self.states = states
        self.listeners = listeners
        self.gone = [] if build.rehearsal else [one for each in listeners for one in each.gone]
        self.build = build
        self.open = open_
        self.waits = False
        self.moved: dict[int, int] = {}
        """Where the pod listens instead of at a port that it knows."""
        self.late = False
        """Who has the same port as one of them, and maybe listens there, gets it at the thaw."""
        self._there: dict[Ends, TcpSocket] = {}
        """What this host has: also connections that are over, and keep their addresses for a while."""
        self._later: list[_End] = []
        self._groups: dict[int, Group] = {}
        """By the open files of their listeners."""

    def make(self) -> None:
        with restoring(NAME, Stage.SHARED, "a TCP connection"):
            ends: list[_End] = []
            self.waits = self._is_taken()
            try:
                for state in self.states:
                    ends.append(_End(state, self.open(state)))
                if not self.waits:
                    self._join_all(ends)
            except BaseException:
                _close(ends)
                raise
            if self.waits:
                lib.zt_pod_show_addresses(self.build.handle)
                self._later = [_End(end.state, end.sock.dup()) for end in ends]
                self.build.at_thaw(self._join_later, partial(_close, self._later))
            for end in ends:
                note_again(self.build, end.sock.fileno(), end.state.unseen)
                finish(self.build, end.state, end.sock.detach())

    def complete(self) -> None:
        """Once those are bound that have the same ports."""
        self._find_groups()
        if self.late and not self.waits:
            self._later = [_End(state, self._dup(state)) for state in self.states]
        if self.late or self.waits:
            self.build.at_thaw(self._complete_later, self._close_all)
            return
        with restoring(NAME, Stage.SHARED, "a TCP connection that was not accepted yet"):
            try:
                for one in self._in_turn():
                    if isinstance(one, Gone):
                        self._enter_gone(one)
                        continue
                    with borrowed(self.build.file(one.file_id)) as sock:
                        self._complete(sock, one)
            finally:
                self._close_all()

    def _dup(self, state: Socket) -> socket.socket:
        return socket.socket(fileno=os.dup(self.build.file(state.file_id)))

    def _find_groups(self) -> None:
        """Listeners among whom each that waits has to come to its own."""
        of_turns = {state.turn.listener for state in self.states if state.turn}
        wanted = of_turns | {one.listener for one in self.gone}
        shared = {each.local for each in self.listeners if each.file_id in wanted}
        for local in () if self.build.rehearsal else shared:
            own = [each for each in self.listeners if each.local == local]
            group = Group({each.file_id: self._dup(each) for each in own})
            self._groups |= {each.file_id: group for each in own}

    def _close_all(self) -> None:
        for group in self._groups.values():
            group.close()
        _close(self._later)

    def _come_to(self, listener: int) -> None:
        if listener in self._groups:
            self._groups[listener].have_come_to(listener)

    def _enter_gone(self, one: Gone) -> None:
        self._come_to(one.listener)
        enter_gone(replace(one, to=self.really(one.to)))

    def may_move(self, state: Socket, at_last: bool) -> bool:
        """To another port: nobody outside knows this one, or, `at_last`, at the thaw, there is no way
        back. Before, it may be our former self that has it."""
        if self.build.contended and not at_last:
            return False
        unknown = state.chosen or state.status == CONNECTING
        return unknown or (at_last and self.build.no_way_back)

    def really(self, listener: Address) -> Address:
        return replace(listener, port=self.moved.get(listener.port, listener.port))

    def _in_turn(self) -> list[Socket | Gone]:
        waiting: list[Socket | Gone] = [*self.states, *self.gone]
        return sorted(waiting, key=_turn)

    def _complete(self, sock: socket.socket, state: Socket) -> None:
        """Those that wait to be accepted do so now, one after the other."""
        if state.turn and not self.build.rehearsal:
            assert state.local and state.peer
            self._come_to(state.turn.listener)
            with quiet(sock):
                to = self.really(state.peer)
                ended = bool(state.shutdown & 2)
                enter_from(sock, state.local, to, state.turn.sent, ended)
                self._tell(_End(state, sock))
                if state.shutdown & 1:
                    sock.shutdown(socket.SHUT_RD)
                _set_last(sock, state)
        _share_no_address(sock, state)

    def _is_taken(self) -> bool:
        if not self.build.contended or self.build.rehearsal:
            return False
        there = tcp_sockets()
        return any(s.local and s.peer and (s.local.key, s.peer.key) in there for s in self.states)

    def _join_later(self) -> None:
        with contextlib.ExitStack() as stack:
            for end in self._later:
                stack.enter_context(quiet(end.sock))
            self._join_all(self._later)

    def _complete_later(self) -> None:
        socks = {end.state.file_id: end.sock for end in self._later}
        for one in self._in_turn():
            if isinstance(one, Gone):
                self._enter_gone(one)
            else:
                self._complete(socks[one.file_id], one)
        self._close_all()

    def _join_all(self, ends: list[_End]) -> None:
        self._there = tcp_sockets()
        ends = [end for end in ends if not end.state.turn]
        by_ends = {end.ends: end for end in ends if end.state.peer}
        done: set[int] = set()
        for end in ends:
            if id(end) in done:
                continue
            other = by_ends.get(end.ends[::-1]) if end.state.peer else None
            done |= {id(end), id(other)}
            if other is None:
                self._join_with_nobody(end)
            else:
                self._join(end, other)

    def _join(self, one: _End, other: _End) -> None:
        assert one.state.stream and other.state.stream
        self._connect(one, other)
        flow.put(other.sock, one.sock, self._needed(one.state.stream.unread))
        if one is not other:
            flow.put(one.sock, other.sock, self._needed(other.state.stream.unread))
        for end in dict.fromkeys((one, other)):
            _shut_down(end)
        for end in dict.fromkeys((one, other)):
            _set_last(end.sock, end.state)

    def _join_with_nobody(self, end: _End) -> None:
        """Its other end was closed."""
        assert end.state.stream
        peer = end.state.peer or end.local.elsewhere(end.state.family)
        with socket.socket(end.state.family, end.state.type) as sock:
            sock.setsockopt(_SOL, socket.SO_REUSEADDR, 1)
            mate = _End(_mate_of(end.state, peer), sock)
            self._connect(end, mate)
            flow.put(sock, end.sock, self._needed(end.state.stream.unread))
            if end.state.status != RESET:
                sock.shutdown(socket.SHUT_WR)
                flow.receive_to_the_end(end.sock)
            if end.state.status in (RESET, BROKEN):
                sock.setsockopt(_SOL, socket.SO_LINGER, _RESET)
            if end.state.status == ENDED:
                end.sock.shutdown(socket.SHUT_RDWR)
                _await(end.sock, flow.CLOSE)
        if end.state.status in (RESET, BROKEN):
            _await(end.sock, flow.CLOSE)
        elif end.state.status != ENDED:
            _shut_down(end)
        _set_last(end.sock, end.state)

    def _needed(self, unread: Unread) -> Unread:
        size = self.build.needed(len(unread.data))
        if size == len(unread.data):
            return unread
        return Unread(unread.data[:size], -1, False)

    def _connect(self, one: _End, other: _End) -> None:
        """At their addresses, or, where these cannot be had, at others, of which nobody is told."""
        for sock in {one.sock, other.sock}:
            sock.setblocking(False)
        here = self._bind(one)
        there = self._bind(other) if one is not other else here
        _connect_both(one, other, here, there)
        for end in dict.fromkeys((one, other)):
            self._tell(end)

    def _bind(self, end: _End) -> Address:
        """Returns the address that it will have."""
        elsewhere = end.local.elsewhere(end.state.family)
        away = self.build.rehearsal or self._has_another(
            end
        )  # the original has it, or one that was
        for chosen in [elsewhere] if away else [end.local, elsewhere]:
            with _unless_taken():
                end.sock.bind(_to_bind(end.state, chosen).raw(end.state.family))
                return replace(chosen, port=end.sock.getsockname()[1])
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    def _has_another(self, end: _End) -> bool:
        """Is there a connection with these addresses?"""
        peer = end.state.peer
        if peer is None:
            return False
        ends = end.local.key, peer.key
        return ends in self._there or ends[::-1] in self._there

    def _tell(self, end: _End) -> None:
        state = end.state
        if state.file_id == _OURS:
            return
        real = address(end.sock.getsockname()), address(end.sock.getpeername())
        shown = state.local or real[0], state.peer or real[1]
        if [each.key for each in real] != [each.key for each in shown]:
            tell(self.build, end.sock.fileno(), state.family, real, shown)
            lib.zt_pod_show_addresses(self.build.handle)


def _to_bind(state: Socket, local: Address) -> Address:
    """To bind an address of IPv6 is to have IPV6_V6ONLY: one that has not binds any, and has ::1."""
    if local.host == "::1" and "IPV6_V6ONLY" not in state.options:
        return replace(local, host="::")
    return local


@contextlib.contextmanager
def _unless_taken() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _TAKEN:
            raise


def _mate_of(state: Socket, local: Address) -> Socket:
    """Of the socket that takes the part of its other end."""
    return replace(state, file_id=_OURS, local=local, peer=state.local, options={}, filter=b"")


def _connect_both(one: _End, other: _End, here: Address, there: Address) -> None:
    families = one.state.family, other.state.family
    if one is other:  # it has connected to itself
        _begin(one.sock, there.raw(families[0]))
    else:
        with _deaf_to_resets(one.sock, other.sock, bool(here.four)):
            _begin(one.sock, there.of(families[0]).raw(families[0]))
            _begin(other.sock, here.of(families[1]).raw(families[1]))
            _await(other.sock, flow.ESTABLISHED)
    _await(one.sock, flow.ESTABLISHED)
    for sock, to, family in ((one.sock, there, families[0]), (other.sock, here, families[1])):
        with contextlib.suppress(OSError):  # it is told that it has come about
            sock.connect(to.of(family).raw(family))


def _begin(sock: socket.socket, to: tuple[str, int] | tuple[str, int, int, int]) -> None:
    number = sock.connect_ex(to)
    if number not in (0, errno.EINPROGRESS):
        raise OSError(number, os.strerror(number))


def _await(sock: socket.socket, state: int) -> None:
    flow.soon(lambda: flow.info(sock).state in (state, flow.CLOSE))
    if (found := flow.info(sock).state) != state:
        what = f"a connection is {flow.STATES[found]}, not {flow.STATES[state]}"
        raise OSError(errno.ECONNREFUSED, what)


@contextlib.contextmanager
def _deaf_to_resets(one: socket.socket, other: socket.socket, four: bool) -> Iterator[None]:
    """`one` hears what comes from nearby, as only `other` says that it does (RFC 5082)."""
    level, least, says = (_IP, _IP_MINTTL, _IP_TTL) if four else (_IP6, _MINHOPCOUNT, _HOPS)
    one.setsockopt(level, least, _NEARBY)
    other.setsockopt(level, says, _NEARBY)
    yield
    one.setsockopt(level, least, 0)
    other.setsockopt(level, says, -1)  # as the host has it


def _has_ended(info: Info) -> bool:
    """The other side knows; or it has no room for what comes before."""
    return info.state not in (flow.ESTABLISHED, flow.FIN_WAIT1) or info.unsent > 0


def _shut_down(end: _End) -> None:
    """After what is to be read has come."""
    if end.state.shutdown & 2:
        end.sock.shutdown(socket.SHUT_WR)
        flow.soon(lambda: _has_ended(flow.info(end.sock)))
    if end.state.shutdown & 1:
        end.sock.shutdown(socket.SHUT_RD)


def _turn(one: Socket | Gone) -> int:
    if isinstance(one, Gone):
        return one.number
    return one.turn.number if one.turn else -1


def _set_last(sock: socket.socket, state: Socket) -> None:
    """What the program has set, and what was ours is away."""
    set_filter(sock, state.filter)
    chosen = {name: value for name, value in state.options.items() if name in _LAST}
    clamp = chosen.pop("TCP_WINDOW_CLAMP", None)
    set_options(sock, chosen, TCP)
    if clamp is not None:
        level, option, size = TCP["TCP_WINDOW_CLAMP"]
        usual = sock.getsockopt(level, option, size)
        if int.from_bytes(clamp, "little") < int.from_bytes(usual, "little"):
            sock.setsockopt(level, option, clamp)


def _share_no_address(sock: socket.socket, state: Socket) -> None:
    """Unless the program has said so."""
    if "SO_REUSEADDR" not in state.options:
        sock.setsockopt(_SOL, socket.SO_REUSEADDR, 0)


def _close(ends: Sequence[_End]) -> None:
    for end in ends:
        end.sock.close()

"""A socket gets its addresses.

Who listens where somebody else does by now gets another port, and the pod is told of that one as if it
were the old one (virtual.py): where the kernel had chosen it, of which nobody outside knows, and at the
thaw of a pod that was handed over, when there is no way back.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from ...linux.native import lib
from ...log import log
from ..common.options import TCP
from ..common.socket import set_options
from .address import Address, address
from .refused import let_go, refuse_tcp, refuse_udp
from .state import CONNECTED, CONNECTING, LISTENING, Socket
from .time_wait import bind
from .unseen import set_unseen
from .virtual import tell_of_listener

if TYPE_CHECKING:
    from .join import Joiner

_IP_BIND_ADDRESS_NO_PORT = 24
MOVABLE = (LISTENING, CONNECTING)
_HOW = {1: socket.SHUT_RD, 2: socket.SHUT_WR, 3: socket.SHUT_RDWR}


def was_given_up(state: Socket) -> bool:
    """The kernel has chosen its port, and let go of it."""
    return (state.refused or state.let_go) and state.type == socket.SOCK_STREAM


def bind_it(state: Socket, sock: socket.socket) -> None:
    assert state.local is not None
    try:
        if state.local.port:
            bind(sock, _to_bind(sock, state.local).raw(state.family))
        else:
            _bind_without_port(state, sock, state.local)
    except OSError:
        if state.status != CONNECTED:
            raise
        # connect(2) chose the address of a host that the pod has left; it will choose again.
        anywhere = "0.0.0.0" if state.family == socket.AF_INET else "::"
        sock.bind((anywhere, state.local.port))


def _to_bind(sock: socket.socket, local: Address) -> Address:
    """bind(2) to an address of IPv6 makes a socket deaf for IPv4; if it is not, connect(2) chose it."""
    of_six = sock.family == socket.AF_INET6 and not local.four
    if of_six and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return replace(local, host="::", scope=0)
    return local


def _bind_without_port(state: Socket, sock: socket.socket, local: Address) -> None:
    """As IP_BIND_ADDRESS_NO_PORT makes it, or a connection that was given up leaves it."""
    before = sock.getsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT)
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind(local.raw(state.family))
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, before)


def let_go_of(state: Socket, sock: socket.socket, wait_for_it: bool) -> None:
    """`sock` is ours, and closed once that is done. Where somebody has that port, it tells none."""
    assert state.local is not None
    try:
        let_go(sock, state.local)
    except OSError:
        if wait_for_it:
            raise
        _bind_without_port(state, sock, replace(state.local, port=0))
    sock.close()


def place(
    state: Socket, sock: socket.socket, joiner: Joiner, *, shared: bool, at_last: bool
) -> None:
    """Give it its addresses; `sock` is ours, and closed once that is done."""
    reuse = "SO_REUSEADDR" in state.options
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if was_given_up(state) and state.local:
        with contextlib.suppress(OSError):  # who has it now may
            bind_it(state, sock)
        refuse_tcp(sock, state.local)
    elif state.local is not None:
        try:
            bind_it(state, sock)
        except OSError as error:
            may_move = state.status in MOVABLE and joiner.may_move(state, at_last)
            if error.errno != errno.EADDRINUSE:
                raise
            if not may_move:
                raise OSError(error.errno, error.strerror, state.local.shown) from error
            _bind_elsewhere(state, sock, state.local, joiner)
        if state.refused and state.peer:
            refuse_udp(sock, state.local)
    if state.status == LISTENING:
        sock.listen(state.backlog)
        if quick := state.options.get("TCP_QUICKACK"):  # listen(2) takes it back
            set_options(sock, {"TCP_QUICKACK": quick}, TCP)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    if state.peer is not None and state.status != CONNECTING:
        sock.connect(state.peer.raw(state.family))
    set_unseen(sock, state.unseen, bound=True)
    if state.shutdown:
        with contextlib.suppress(OSError):  # it says so, and does it
            sock.shutdown(_HOW[state.shutdown])
    sock.close()


def _bind_elsewhere(state: Socket, sock: socket.socket, local: Address, joiner: Joiner) -> None:
    """One that listens; or is being connected, of which is told once it is (connecting.py)."""
    port = joiner.moved.get(local.port, 0)  # of one that shares it (SO_REUSEPORT)
    sock.bind(_to_bind(sock, replace(local, port=port)).raw(state.family))
    real = address(sock.getsockname())
    if state.status == LISTENING:
        log.warning("port %d is in use: the pod listens at %d instead", local.port, real.port)
        joiner.moved[local.port] = real.port
        tell_of_listener(joiner.build, sock.fileno(), state.family, real, local)
    lib.zt_pod_show_addresses(joiner.build.handle)

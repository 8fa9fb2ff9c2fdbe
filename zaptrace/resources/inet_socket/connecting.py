"""TCP connections that connect(2) has asked for, and that nobody has answered yet: their listener has
as many to accept as it takes. They ask again, last of all, so that those who wait are before them.
"""

from __future__ import annotations

import errno
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

from ...view.build import Stage
from ..common.file import restoring, unsupported
from . import flow
from .address import Address, address
from .backlog import quiet
from .diag import whom_it_asks
from .virtual import tell

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile
    from .join import Joiner
    from .state import Socket


def whom(file: FrozenFile, sock: socket.socket) -> Address:
    """The address that it asks. Raises UnsupportedResource for one on another host."""
    peer = whom_it_asks(file.stat.st_ino, sock.family)
    known = flow.info(sock)
    local = address(sock.getsockname())
    here = peer is not None and (peer.loops_back or peer.key[0] == local.key[0])
    if peer is None or not here or known.sent or known.unsent:
        raise unsupported(
            file,
            "is a TCP connection that is being made",
            needed="one to a listener on this host, with nothing to be sent before it is there",
            found=f"from {local.shown} to {peer.shown if peer else 'somewhere'}",
            do="try again once it has come about, or has failed",
        )
    return peer


def ask_again(state: Socket, build: Build, joiner: Joiner) -> None:
    sock = socket.socket(fileno=os.dup(build.file(state.file_id)))
    if joiner.waits or not sock.getsockname()[1]:  # the pod's former self has their ports
        build.at_thaw(partial(_ask, state, sock, joiner), sock.close)
    else:
        _ask(state, sock, joiner)


def _ask(state: Socket, sock: socket.socket, joiner: Joiner) -> None:
    assert state.local and state.peer
    to = joiner.really(state.peer)
    with sock, restoring("inet_socket", Stage.RESUME, f"a connection to {state.peer.shown}"):
        with quiet(sock):
            number = sock.connect_ex(to.raw(state.family))
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        own = address(sock.getsockname())
        if (own.key, to) != (state.local.key, state.peer):
            tell(joiner.build, sock.fileno(), state.family, (own, to), (state.local, state.peer))

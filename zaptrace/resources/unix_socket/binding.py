"""The names that sockets of a pod have from bind(2), and the files of those that are paths."""

from __future__ import annotations

import contextlib
import errno
import socket
import stat
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from ...linux.program import Program
from ..common.permission import Permission
from . import diag as diag
from .actors import Address
from .held import Held
from .names import Directories, Spot, bind_each
from .state import LISTENING, Socket, is_path

if TYPE_CHECKING:
    from ...view.build import Build

_AT_ONCE = 40
"""Sockets that are open in our process for it."""


class Binding:
    """Of one build; sockets are held by their `ino`."""

    def __init__(self, build: Build, held: Held) -> None:
        self._build = build
        self._held = held
        self.addresses: dict[int, Address] = {}
        """By ino: how a socket that is bound is reached now."""
        self.directories = Directories()
        self._spots: dict[int, Spot] = {}
        self._taken = {known.name for known in diag.everything()} if build.contended else set()

    def later(self, state: Socket) -> bool:
        """Its abstract name is our former self's until the thaw."""
        return state.bound and not is_path(state.name) and state.name in self._taken

    def bind(self, states: list[Socket]) -> None:
        """Those of one directory together: who binds to a relative path has to be there."""
        by_directory: dict[bytes, list[Socket]] = defaultdict(list)
        for state in states:
            if is_path(state.name):
                by_directory[state.directory].append(state)
                continue
            with self._held.use(state.ino) as sock:
                self._bind_abstract(state, sock)
        for some in by_directory.values():
            for at in range(0, len(some), _AT_ONCE):
                self._bind_paths(some[at : at + _AT_ONCE])

    def _bind_abstract(self, state: Socket, sock: socket.socket) -> None:
        if self.later(state):
            again = sock.dup()
            self._build.at_thaw(partial(_take_name, state, again, self._build), again.close)
        else:
            sock.bind(state.name)
            self.addresses[state.ino] = Address(-1, state.name)

    def _bind_paths(self, states: list[Socket]) -> None:
        with contextlib.ExitStack() as held:
            socks = []
            for state in states:
                with self._held.use(state.ino) as sock:  # good for a while only
                    socks.append(held.enter_context(sock.dup()))
            names = [state.name for state in states]
            spots = bind_each(socks, names, states[0].directory, self.directories)
        for state, spot in zip(states, spots, strict=True):
            self.addresses[state.ino] = Address(spot.directory, spot.name)
            self._spots[state.ino] = spot
            self._build.at_thaw(partial(spot.keep, state.place, _permission(state)), spot.give_up)
            if state.place:
                self._build.meanwhile[spot.path(state.place)] = spot.path(spot.name)

    def move_into_place(self, state: Socket) -> None:
        """To its place, unless our former self has that still."""
        spot = self._spots.get(state.ino)
        if spot is None:
            return
        try:
            spot.move_into_place(state.place, _permission(state))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not self._build.contended:
                raise


def _permission(state: Socket) -> Permission:
    return state.placed or Permission(stat.S_IMODE(state.mode), None, None)


def _take_name(state: Socket, sock: socket.socket, build: Build) -> None:
    """At the thaw. `sock` is ours, and closed once that is done."""
    sock.bind(state.name)
    if state.status == LISTENING and state.told is not None:
        program = Program()
        program.call("listen", state.told_fd, state.backlog)
        build.process(state.told.vpid).run(program)
    sock.close()

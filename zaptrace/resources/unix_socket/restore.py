"""When the unix sockets of a pod are made, and what has to be there for that."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import RestoreError
from ...linux import outside, sock_diag
from ...linux.native import lib
from ...linux.scratch import Scratch
from ...view.build import Stage
from ..common.file import restoring
from . import diag as diag
from .maker import Maker
from .names import nearest, path_of
from .place import beneath, in_use
from .state import CONNECTED, LISTENING, NAME, SENDERS, Socket, is_path, shown

if TYPE_CHECKING:
    from ...view.build import Build


def register(states: list[Socket], build: Build) -> None:
    """Once there are processes, since calls are made by those who made them once; and before open
    files lead to sockets' own. What they hold comes when all files are there that wait in a queue."""
    if SENDERS in build.store(NAME) or any("SO_PASSCRED" in state.options for state in states):
        build.at(Stage.SHARED, lib.zt_pod_show_senders, build.handle)
    if not states:
        return
    if build.sockets:
        states = _at_other_paths(states, build.sockets)
    build.at(Stage.CLAIM, _claim, states, build)
    if build.rehearsal:
        states = _under_other_names(states, build)
    maker = Maker(states, build)
    build.at_thaw(maker.close, maker.close)
    build.at(Stage.THREADS, _work, Stage.THREADS, maker.make)
    build.at(Stage.FILES, _work, Stage.FILES, maker.complete)


def _work(stage: Stage, work: Callable[[], None]) -> None:
    with restoring(NAME, stage, "the unix sockets"):
        work()


def _at_other_paths(states: list[Socket], paths: dict[bytes, bytes]) -> list[Socket]:
    """Where the user wants them to be; what has accepted there has the same name."""
    aliases = {
        state.name: paths[path]
        for state in states
        if state.bound and (path := path_of(state.name, state.directory)) in paths
    }
    moved = []
    for state in states:
        renamed = _renamed(state, aliases)
        if state.name in aliases and state.bound and state.place:
            renamed = replace(renamed, place=os.path.basename(renamed.name))
        elif state.name not in aliases:
            renamed = replace(renamed, directory=state.directory, place=state.place)
        moved.append(renamed)
    return moved


def _under_other_names(states: list[Socket], build: Build) -> list[Socket]:
    """The real ones are the original's, and others know them."""
    home = Scratch("zt")
    build.at_thaw(lambda: None, home.remove)
    names = {name for state in states for name in (state.name, state.peer_name) if name}
    names |= {message.source for s in states for message in s.queue if message.source}
    outside = {s.peer_name for s in states if s.status == CONNECTED and not s.peer}
    aliases = {
        name: (b"\0" if name.startswith(b"\0") else b"") + os.fsencode(f"{home.path}/{n}")
        for n, name in enumerate(sorted(names - outside))
    }
    return [_renamed(state, aliases) for state in states]


def _renamed(state: Socket, aliases: dict[bytes, bytes]) -> Socket:
    return replace(
        state,
        name=aliases.get(state.name, state.name),
        directory=b"",
        place=b"",
        peer_name=aliases.get(state.peer_name, state.peer_name),
        queue=[
            replace(message, source=aliases.get(message.source, message.source))
            for message in state.queue
        ],
    )


# what has to be there


def _claim(states: list[Socket], build: Build) -> None:
    if states and not sock_diag.tells_of(socket.AF_UNIX):
        raise RestoreError(
            "cannot restore unix sockets: this kernel does not tell of its own",
            stage=Stage.CLAIM.name,
            resource=NAME,
            needed="CONFIG_UNIX_DIAG, or the module unix_diag",
            found="neither",
            do="as root: modprobe unix_diag",
            changed="nothing",
        )
    abstract = {known.name for known in diag.everything() if known.name.startswith(b"\0")}
    for state in states:
        if is_path(state.name):
            _claim_path(state, build)
        elif state.name in abstract and not build.rehearsal:
            _claim_abstract(state, states, build)
        if state.status == CONNECTED and not state.peer:
            _claim_service(state, abstract)


def _claim_path(state: Socket, build: Build) -> None:
    path = path_of(state.name, state.directory)
    if not path.startswith(b"/"):
        return  # of no place: it can be made anywhere
    directory, there = os.path.dirname(path), nearest(path)
    if there != directory and state.place:
        raise _taken(state, f"its directory {shown(directory)} is not there")
    if there != directory and not state.name.startswith(b"/"):
        return
    if not outside.can(there, os.W_OK | os.X_OK):
        raise _taken(state, f"its directory {shown(there)} cannot be written to")
    if not state.place:
        return
    with contextlib.suppress(FileNotFoundError):
        place = os.path.join(there, state.place)
        if not stat.S_ISSOCK(outside.lstat(place).st_mode):
            raise _taken(state, f"a file of another kind is there, {shown(place)}")
        if not build.contended and _is_in_use(place):
            raise _taken(state, "a socket of another process is bound to it")


def _is_in_use(path: bytes) -> bool:
    fd = outside.open_file(os.path.dirname(path), os.O_PATH)
    try:
        return in_use(beneath(fd, os.path.basename(path)))
    finally:
        os.close(fd)


def _claim_abstract(state: Socket, states: list[Socket], build: Build) -> None:
    """One that is taken, in a contended build by our former self: then we have it at the thaw."""
    if not build.contended:
        raise _taken(state, "a socket of another process is bound to it")
    needed_before = not state.bound or any(other.peer == state.ino for other in states)
    if needed_before or state.clients or state.queue or not _can_listen_later(state):
        raise RestoreError(
            f"cannot restore a socket with the address {shown(state.name)}",
            stage=Stage.CLAIM.name,
            resource=NAME,
            needed="a path, or an abstract address that nobody has: it is in use in the pod",
            found="the pod's former self, or another, has it on this host",
            do="end that first: checkpoint with --stop, and restore",
        )


def _can_listen_later(state: Socket) -> bool:
    return state.status != LISTENING or state.told is None or state.told_fd >= 0


def _claim_service(state: Socket, abstract: set[bytes]) -> None:
    there = state.peer_name in abstract
    if state.peer_path:
        with contextlib.suppress(OSError):
            there = stat.S_ISSOCK(outside.lstat(state.peer_path).st_mode) and _is_in_use(
                state.peer_path
            )
    if not there:
        raise RestoreError(
            f"cannot restore a socket that sends to {shown(state.peer_name)}",
            stage=Stage.CLAIM.name,
            resource=NAME,
            needed="a datagram socket bound to that address",
            found="none",
            do="start the service that listens there",
        )


def _taken(state: Socket, found: str) -> RestoreError:
    return RestoreError(
        f"cannot restore the address {shown(state.name)} of a unix socket",
        stage=Stage.CLAIM.name,
        resource=NAME,
        needed="an address that is free, or a stale socket file",
        found=found,
        do="end what uses it, or remove the file",
    )

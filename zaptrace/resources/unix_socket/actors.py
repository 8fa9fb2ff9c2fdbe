"""Calls that the kernel remembers the caller of, made by the process that made them once.

A connection tells its peer (SO_PEERCRED, SO_PEERPIDFD, SO_PEERGROUPS): who has called connect(2),
listen(2) or socketpair(2). A message tells its sender. So the process that is told makes the call
again. One that has ended is stood in for by a process that lives until all sockets are made; the
number that the kernel keeps of it is shown as that of the one that has ended (zt_ids_stood_in).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...ids import Rpid, Vpid
from ...linux.native import lib
from ...linux.program import Data, Program
from ...view.build import BuildProcess
from ..common.acting import acting
from .message import Sender
from .place import beneath
from .state import Peer

if TYPE_CHECKING:
    from ...view.build import Build

NOBODY = None
"""One outside the pod: the supervisor makes the call, and is outside too."""

_SCM_RIGHTS, _SCM_CREDENTIALS = 1, 2
_DONTWAIT = int(socket.MSG_DONTWAIT)
_PAIRS_AT_ONCE = 50


@dataclass(frozen=True)
class Address:
    """Of an abstract socket (`directory` is -1), or of a file in a directory of ours."""

    directory: int
    name: bytes

    def here(self) -> bytes:
        """In our process."""
        return self.name if self.directory < 0 else beneath(self.directory, self.name)


class Actors:
    def __init__(self, build: Build) -> None:
        self._build = build
        self._stand_ins: dict[int, BuildProcess] = {}

    def end(self) -> None:
        """End those that stood in."""
        for vpid, process in self._stand_ins.items():
            program = Program()
            program.call("exit_group", 0, may_fail=True)
            process.run(program)
            lib.zt_ids_stood_in(self._build.handle, vpid, process.rpid)
        self._stand_ins.clear()

    def _process(self, vpid: int) -> BuildProcess | None:
        if not vpid:
            return None
        alive = self._build.processes.get(Vpid(vpid)) or self._stand_ins.get(vpid)
        return alive or self._stand_in(vpid)

    def _stand_in(self, vpid: int) -> BuildProcess:
        """Any executable will do: no instruction of it runs. The number may be a group's by now."""
        rpid = self._build.launch(os.readlink("/proc/self/exe"), 0)
        own = Vpid(lib.zt_ids_to_virtual(self._build.handle, rpid))
        process = self._stand_ins[vpid] = BuildProcess(self._build.handle, own, Rpid(rpid))
        return process

    def rpid(self, caller: Peer | None) -> int:
        """Of whoever makes the calls of that one."""
        process = self._process(caller.vpid) if caller else None
        return process.rpid if process else os.getpid()

    def listen(self, caller: Peer | None, sock: socket.socket, backlog: int) -> None:
        """Once more if it listens already."""
        process = self._process(caller.vpid) if caller else None
        if process is None or caller is None:
            sock.listen(backlog)
            return
        (fd,) = self._build.pass_files(process, [sock.fileno()])
        program = Program()
        with acting(program, caller.uid, caller.gid, caller.groups):
            program.call("listen", fd, backlog)
        program.call("close", fd)
        process.run(program)

    def connect(self, caller: Peer | None, sock: socket.socket, to: Address) -> None:
        """Raises where it would have to wait."""
        sock.setblocking(False)  # status flags of the pod's come last
        process = self._process(caller.vpid) if caller else None
        if process is None or caller is None:
            sock.connect(to.here())
            return
        fd, *more = self._pass(process, sock, to)
        program = Program()
        address, size = _sockaddr(program, to, more)
        with acting(program, caller.uid, caller.gid, caller.groups):
            program.call("connect", fd, address, size)
        for each in (fd, *more):
            program.call("close", each)
        process.run(program)

    def pairs(
        self, caller: Peer | None, kinds: list[int]
    ) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A socketpair(2) of each of these types; some are made ahead."""
        process = self._process(caller.vpid) if caller else None
        if process is None or caller is None:
            yield from (socket.socketpair(socket.AF_UNIX, kind) for kind in kinds)
            return
        for at in range(0, len(kinds), _PAIRS_AT_ONCE):
            batch = kinds[at : at + _PAIRS_AT_ONCE]
            program = Program()
            both = [program.buffer(8) for _ in batch]
            with acting(program, caller.uid, caller.gid, caller.groups):
                for kind, buffer in zip(batch, both, strict=True):
                    program.call("socketpair", socket.AF_UNIX, kind, 0, buffer)
            results = process.run(program)
            theirs = [fd for buffer in both for fd in struct.unpack("<ii", results.bytes(buffer))]
            ours = [socket.socket(fileno=fd) for fd in self._build.take_files(process, theirs)]
            yield from zip(ours[::2], ours[1::2], strict=True)

    def send(
        self,
        sock: socket.socket,
        data: bytes,
        *,
        files: list[int],
        sender: Sender | None = None,
        to: Address | None = None,
        urgent: bool = False,
    ) -> int:
        """A message from `sock`, with open files of ours and the sender it tells.

        Returns how many bytes were taken: of a stream perhaps not all. Raises BlockingIOError where
        it would have to wait.
        """
        flags = _DONTWAIT | (socket.MSG_OOB if urgent else 0)
        process = self._process(sender.vpid) if sender else None
        if process is None or sender is None:
            rights = struct.pack(f"<{len(files)}i", *files)
            ancillary = [(socket.SOL_SOCKET, _SCM_RIGHTS, rights)] if files else []
            if sender:
                own = struct.pack("<iII", os.getpid(), sender.uid, sender.gid)
                ancillary.append((socket.SOL_SOCKET, _SCM_CREDENTIALS, own))
            return sock.sendmsg([data], ancillary, flags, to.here() if to else None)
        return self._send_as(process, sock, data, files, sender, to, flags)

    def _send_as(
        self,
        process: BuildProcess,
        sock: socket.socket,
        data: bytes,
        files: list[int],
        sender: Sender,
        to: Address | None,
        flags: int,
    ) -> int:
        fd, *more = self._pass(process, sock, to)
        rights = self._build.pass_files(process, files)
        program = Program()
        own = struct.pack("<iII", process.rpid, sender.uid, sender.gid)
        control = program.data(
            _cmsg(_SCM_CREDENTIALS, own)
            + (_cmsg(_SCM_RIGHTS, struct.pack(f"<{len(rights)}i", *rights)) if rights else b"")
        )
        iov = program.pointer(struct.pack("<QQ", 0, len(data)), {0: program.data(data)})
        pointers = {16: iov, 32: control}
        size = 0
        if to is not None:
            pointers[0], size = _sockaddr(program, to, more)
        message = program.pointer(
            struct.pack("<QQQQQQQ", 0, size, 0, 1, 0, control.size, 0), pointers
        )
        row = program.call("sendmsg", fd, message, flags, may_fail=True)
        for each in (fd, *more, *rights):
            program.call("close", each)
        sent = process.run(program)[row]
        if sent < 0:
            raise OSError(-sent, os.strerror(-sent))
        return sent

    def _pass(self, process: BuildProcess, sock: socket.socket, to: Address | None) -> list[int]:
        fds = [sock.fileno()]
        if to is not None and to.directory >= 0:
            fds.append(to.directory)
        return self._build.pass_files(process, fds)


def _sockaddr(program: Program, to: Address, directory: list[int]) -> tuple[Data, int]:
    name = beneath(directory[0], to.name) if directory else to.name
    raw = struct.pack("<H", socket.AF_UNIX) + name
    return program.data(raw), len(raw)


def _cmsg(kind: int, data: bytes) -> bytes:
    head = struct.pack("<QII", socket.CMSG_LEN(len(data)), socket.SOL_SOCKET, kind)
    return (head + data).ljust(socket.CMSG_SPACE(len(data)), b"\0")

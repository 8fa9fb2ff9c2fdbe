"""Taking an flock(2) lock on a description for whoever had it: /proc/locks shows who took it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

from ...linux.program import Argument, Program, Row

if TYPE_CHECKING:
    from ...view.build import BuildProcess

_TAKE = """
import fcntl, sys
try:
    fcntl.flock(int(sys.argv[1]), int(sys.argv[2]))
except OSError as error:
    sys.exit(error.errno)
"""
_PATIENCE_S = 60.0
_PEERCRED = (socket.SOL_SOCKET, socket.SO_PEERCRED)


def operation(exclusive: bool) -> int:
    return (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB


def row(program: Program, fd: Argument, exclusive: bool) -> Row:
    """Of a process that takes it itself; see `succeeded`."""
    return program.call("flock", fd, operation(exclusive), may_fail=True)


def succeeded(result: int) -> None:
    """Raises the OSError that a row's result is."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def take_at_last(process: BuildProcess, fd: int, exclusive: bool) -> None:
    """By a process that has its own descriptors by now: it fetches this one from us, for a moment.

    Raises OSError; also where it has no number free for that.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind("")  # the kernel finds an abstract address
        door.listen(1)
        door.settimeout(_PATIENCE_S)
        program = Program()
        asking = program.call(
            "socket", socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC, 0, may_fail=True
        )
        address = program.data(struct.pack("=H", socket.AF_UNIX) + door.getsockname())
        come = program.call("connect", asking, address, address.size, may_fail=True)
        results = process.run(program)
        theirs = results[asking]
        succeeded(theirs)
        try:
            succeeded(results[come])
            with door.accept()[0] as channel:
                pid, _, _ = struct.unpack("=3i", channel.getsockopt(*_PEERCRED, 12))
                if pid != process.rpid:
                    raise ConnectionRefusedError(f"process {pid} came, not {process.rpid}")
                socket.send_fds(channel, [b"f"], [fd])
                _fetch_and_take(process, theirs, exclusive)
        finally:
            program = Program()
            program.call("close", theirs)
            process.run(program)


def _fetch_and_take(process: BuildProcess, channel: int, exclusive: bool) -> None:
    program = Program()
    control = program.buffer(socket.CMSG_SPACE(4))
    iov = program.pointer(struct.pack("<QQ", 0, 1), {0: program.buffer(1)})
    message = program.pointer(
        struct.pack("<QQQQQQQ", 0, 0, 0, 1, 0, control.size, 0), {16: iov, 32: control}
    )
    come = program.call("recvmsg", channel, message, socket.MSG_CMSG_CLOEXEC, may_fail=True)
    results = process.run(program)
    succeeded(results[come])
    size, _, _, fd = struct.unpack_from("<QIIi", results.bytes(control))
    if size != socket.CMSG_LEN(4):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    program = Program()
    taking = row(program, fd, exclusive)
    program.call("close", fd)
    succeeded(process.run(program)[taking])


def take_as_one_who_ended(fd: int, exclusive: bool) -> None:
    """By a process of ours, which ends. Raises OSError."""
    command = [sys.executable, "-I", "-S", "-E", "-c", _TAKE, str(fd), str(operation(exclusive))]
    succeeded(-subprocess.run(command, pass_fds=[fd], timeout=_PATIENCE_S).returncode)

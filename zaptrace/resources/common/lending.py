"""Giving a restored process a descriptor of ours at the last moment, when it has its own already."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ...linux.program import Program

if TYPE_CHECKING:
    from ...view.build import BuildProcess

T = TypeVar("T")

_PATIENCE_S = 60.0
_PEERCRED = (socket.SOL_SOCKET, socket.SO_PEERCRED)


def lend(process: BuildProcess, fd: int, use: Callable[[int], T]) -> T:
    """`use(number)`, by which the process has the file of `fd` for that while: it fetches it from us.

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
                number = _fetch(process, theirs)
            try:
                return use(number)
            finally:
                _close(process, number)
        finally:
            _close(process, theirs)


def succeeded(result: int) -> None:
    """Raises the OSError that a row's result is."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _fetch(process: BuildProcess, channel: int) -> int:
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
    return int(fd)


def _close(process: BuildProcess, number: int) -> None:
    program = Program()
    program.call("close", number)
    process.run(program)

"""A descriptor of ours for a process that is at rest, as what a call of its own has answered.

It connects to a socket of ours, by the lowest number that is free: that number is what it gets. While
that socket is there it needs one more, which is beyond its limit, maybe, and allowed for that moment.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
from collections.abc import Iterator

from ..linux.program import Program
from .descriptions import Holder

_STREAM = socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, 0


def give(process: Holder, fd: int, *, cloexec: bool) -> int:
    """The number that it has there, or a negative errno: it has no room for it."""
    with socket.socket(*_STREAM) as ours:
        ours.bind(b"")  # an abstract name that the kernel chooses
        ours.listen(1)
        ours.settimeout(0)
        number = _connect(process, ours.getsockname())
        if number < 0:
            return number
        channel, _ = ours.accept()
        with channel:
            socket.send_fds(channel, [b"f"], [fd])
    program = Program()
    control = program.buffer(socket.CMSG_SPACE(4))
    iov = program.pointer(struct.pack("<QQ", 0, 1), {0: program.buffer(1)})
    message = program.pointer(
        struct.pack("<QQQQQQQ", 0, 0, 0, 1, 0, control.size, 0), {16: iov, 32: control}
    )
    program.call("recvmsg", number, message, 0)
    with _room_for_one_more(process):
        raw = process.run(program).bytes(control)
    (came,) = struct.unpack_from("<i", raw, socket.CMSG_LEN(0))
    program = Program()
    program.call("dup3", came, number, os.O_CLOEXEC if cloexec else 0)
    program.call("close", came)
    process.run(program)
    return number


def _connect(process: Holder, name: bytes) -> int:
    program = Program()
    address = struct.pack("=H", socket.AF_UNIX) + name
    number = program.call("socket", *_STREAM, may_fail=True)
    program.call("connect", number, program.data(address), len(address), may_fail=True)
    return process.run(program)[number]


@contextlib.contextmanager
def _room_for_one_more(process: Holder) -> Iterator[None]:
    which = resource.RLIMIT_NOFILE
    soft, hard = resource.prlimit(process.lives_in, which)
    resource.prlimit(process.lives_in, which, (min(soft + 1, hard), hard))
    try:
        yield
    finally:
        resource.prlimit(process.lives_in, which, (soft, hard))

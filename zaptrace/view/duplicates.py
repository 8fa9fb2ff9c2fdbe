"""Descriptors of the pod in our process: duplicates, which share offset and flags with the pod's.

Few at a time: a pod may have more than one process may have. pidfd_getfd(2) takes one in 3 us without
touching its process. Where that is denied (the seccomp profile of a container, a
kernel that knows processes by their first thread only, which has ended), the process itself
sends it, by a program of 150 to 600 us; which needs a free number there, and a network namespace like ours.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections import OrderedDict

from ..errors import HostError
from ..linux import native
from ..linux.native import NativeError
from ..linux.program import Program, ProgramError
from .descriptions import Holder

_SENT_BY = socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0


class Duplicates:
    """Those that were asked for last."""

    MOST = 256

    def __init__(self) -> None:
        self._of: OrderedDict[int, int] = OrderedDict()

    def of(self, file_id: int, process: Holder, fd: int) -> int:
        """A descriptor of ours, which may be closed when MOST others were asked for."""
        if file_id not in self._of:
            self._of[file_id] = take(process, fd)
        self._of.move_to_end(file_id)
        while len(self._of) > self.MOST:
            os.close(self._of.popitem(last=False)[1])
        return self._of[file_id]

    def close(self) -> None:
        while self._of:
            os.close(self._of.popitem()[1])


def take(process: Holder, fd: int) -> int:
    """A duplicate of a descriptor, which is the caller's to close."""
    try:
        return native.get_fd(process.lives_in, fd)
    except NativeError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EINVAL):
            raise
        return _sent(process, fd)


def _sent(process: Holder, fd: int) -> int:
    """Have the process send it to a socket of ours, which has a name only for that long."""
    with socket.socket(*_SENT_BY) as ours:
        ours.bind(b"")  # an abstract name that the kernel chooses
        ours.setblocking(False)
        name = ours.getsockname()
        address = struct.pack("=H", socket.AF_UNIX) + name
        program = Program()
        theirs = program.call("socket", *_SENT_BY)
        rights = struct.pack("=QiiI", 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, fd) + bytes(4)
        iov = program.pointer(struct.pack("<QQ", 0, 1), {0: program.data(b"f")})
        message = program.pointer(
            struct.pack("<QIIQQQQQ", 0, len(address), 0, 0, 1, 0, len(rights), 0),
            {0: program.data(address), 16: iov, 32: program.data(rights)},
        )
        sent = program.call("sendmsg", theirs, message, socket.MSG_DONTWAIT, may_fail=True)
        program.call("close", theirs)
        try:
            answer = process.run(program)[sent]
        except ProgramError as error:
            answer = -error.errno
        if answer < 0:
            raise _refused(process, fd, -answer)
        _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        ((_, _, data),) = ancillary
        return array.array("i", data[:4])[0]


def _refused(process: Holder, fd: int, code: int) -> HostError:
    return HostError(
        f"cannot look at fd {fd} of process {process.vpid} ({process.comm})",
        needed="pidfd_getfd(2), or that the process can send it to us by a socket",
        found=f"pidfd_getfd is denied, and a socket there {os.strerror(code)}",
        remedy="allow pidfd_getfd in the container's seccomp profile, or raise its ulimit -n",
    )

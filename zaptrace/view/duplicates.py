"""Descriptors of the pod in our process: duplicates, which share offset and flags with the pod's.

Few at a time: a pod may have more than one process may have. pidfd_getfd(2) takes one in 3 us without
touching its process. Where that is denied (the seccomp profile of a container, a
kernel that knows processes by their first thread only, which has ended), the process itself
sends it, by a program of 150 to 600 us; which needs a network namespace like ours, and a number for
a socket there: a free one, or a soft limit below the hard one, or a number whose description has
another, too. So it sends some others with it, that will be asked for next.
"""

from __future__ import annotations

import array
import contextlib
import errno
import itertools
import os
import resource
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from ..errors import HostError
from ..linux import native
from ..linux.native import NativeError
from ..linux.program import Program
from .descriptions import Holder, Twin

Others = Callable[[], Iterable[tuple[int, int]]]

_SENT_BY = socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0


class Duplicates:
    """Those that were asked for last."""

    MOST = 256
    AHEAD = 30

    def __init__(self) -> None:
        self._of: OrderedDict[int, int] = OrderedDict()

    def of(self, file_id: int, process: Holder, fd: int, others: Others = tuple) -> int:
        """A descriptor of ours, which may be closed when MOST others were asked for.

        `others` tells more that the process has, of which some may be had with it: (file_id, fd).
        """
        if file_id not in self._of:
            self._of |= self._take(file_id, process, fd, others)
        self._of.move_to_end(file_id)
        while len(self._of) > self.MOST:
            os.close(self._of.popitem(last=False)[1])
        return self._of[file_id]

    def _take(
        self, file_id: int, process: Holder, fd: int, others: Others
    ) -> list[tuple[int, int]]:
        if (ours := _got(process, fd)) is not None:
            return [(file_id, ours)]
        more = itertools.islice((one for one in others() if one[0] not in self._of), self.AHEAD)
        wanted = [(file_id, fd), *more]
        if len(wanted) > 1:
            with contextlib.suppress(HostError):
                ids, fds = zip(*wanted, strict=True)
                return list(zip(ids, _sent(process, list(fds)), strict=True))
        return [(file_id, _sent(process, [fd])[0])]

    def close(self) -> None:
        while self._of:
            os.close(self._of.popitem()[1])


def take(process: Holder, fd: int) -> int:
    """A duplicate of a descriptor, which is the caller's to close."""
    ours = _got(process, fd)
    return _sent(process, [fd])[0] if ours is None else ours


def _got(process: Holder, fd: int) -> int | None:
    """By pidfd_getfd(2); None where that cannot be had."""
    try:
        return native.get_fd(process.lives_in, fd)
    except NativeError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EINVAL):
            raise
        return None


def _sent(process: Holder, fds: list[int]) -> list[int]:
    """Have the process send them to a socket of ours, which has a name only for that long."""
    with socket.socket(*_SENT_BY) as ours:
        ours.bind(b"")  # an abstract name that the kernel chooses
        ours.setblocking(False)
        name = ours.getsockname()
        address = struct.pack("=H", socket.AF_UNIX) + name
        with _room_for_a_socket(process) as limit:
            answer = _send(process, fds, address, None)
            if answer == -errno.EMFILE and (lent := process.twin(limit)):
                answer = _send(process, fds, address, lent)
        if answer < 0:
            raise _refused(process, fds[0], f"a socket there {os.strerror(-answer)}")
        space = socket.CMSG_SPACE(4 * len(fds))
        _, ancillary, _, _ = ours.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
        came = array.array("i", b"".join(data[: len(data) // 4 * 4] for _, _, data in ancillary))
        if len(came) < len(fds):  # as many as we may have
            for fd in came:
                os.close(fd)
            raise _refused(process, fds[0], f"of {len(fds)} there came {len(came)}")
        return list(came)


def _send(process: Holder, fds: list[int], address: bytes, lent: Twin | None) -> int:
    """What sendmsg(2) has answered there; or socket(2), where that failed."""
    program = Program()
    if lent is not None:
        fds = [lent.other if fd == lent.number else fd for fd in fds]
        program.call("close", lent.number)
    theirs = program.call("socket", *_SENT_BY, may_fail=True)
    size = 4 * len(fds)
    rights = struct.pack("=Qii", socket.CMSG_LEN(size), socket.SOL_SOCKET, socket.SCM_RIGHTS)
    rights += struct.pack(f"={len(fds)}I", *fds)
    rights = rights.ljust(socket.CMSG_SPACE(size), b"\0")
    iov = program.pointer(struct.pack("<QQ", 0, 1), {0: program.data(b"f")})
    message = program.pointer(
        struct.pack("<QIIQQQQQ", 0, len(address), 0, 0, 1, 0, len(rights), 0),
        {0: program.data(address), 16: iov, 32: program.data(rights)},
    )
    sent = program.call("sendmsg", theirs, message, socket.MSG_DONTWAIT, may_fail=True)
    if lent is None:
        program.call("close", theirs, may_fail=True)
    else:  # which closes the socket: it had the only number that was free
        program.call("dup3", lent.other, lent.number, os.O_CLOEXEC if lent.cloexec else 0)
    results = process.run(program)
    return results[theirs] if results[theirs] < 0 else results[sent]


@contextlib.contextmanager
def _room_for_a_socket(process: Holder) -> Iterator[int]:
    """One that has all that it may have may have more, for a moment, if it could allow that itself.
    Gives how many those are then."""
    pid, which = process.lives_in, resource.RLIMIT_NOFILE
    soft, hard = resource.prlimit(pid, which)
    if soft == hard:
        yield hard
        return
    resource.prlimit(pid, which, (hard, hard))
    try:
        yield hard
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, which, (soft, hard))


def _refused(process: Holder, fd: int, found: str) -> HostError:
    return HostError(
        f"cannot look at fd {fd} of process {process.vpid} ({process.comm})",
        needed="pidfd_getfd(2), or that the process can send it to us by a socket",
        found=f"pidfd_getfd is denied, and {found}",
        remedy="allow pidfd_getfd in the container's seccomp profile, or raise its ulimit -n",
    )

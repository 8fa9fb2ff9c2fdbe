"""sock_diag(7): what the kernel tells of sockets to whoever asks; needs no privilege.

Looks at the network namespace that we are in, which is the pod's too.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_ANSWER_S = 10.0
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")  # nlattr
_OF_UNIX = struct.Struct("=B23x")  # unix_diag_req
_OF_INET = struct.Struct("=BB54x")  # inet_diag_req_v2


def tells_of(family: int, protocol: int = 0) -> bool:
    """Has the kernel that part of it? Asked for all sockets that are in no state, which are none."""
    of_unix = family == socket.AF_UNIX
    request = _OF_UNIX.pack(family) if of_unix else _OF_INET.pack(family, protocol)
    try:
        return not [*ask(request, dump=True)]
    except FileNotFoundError:
        return False


def ask(request: bytes, *, dump: bool) -> Iterator[memoryview]:
    """The answers to one request: one, or none if there is no such socket; to a dump, all.

    FileNotFoundError: a kernel that has none of these sockets, or cannot tell.
    """
    flags = _NLM_F_REQUEST | (_NLM_F_DUMP if dump else 0)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.bind((0, 0))
        link.settimeout(_ANSWER_S)  # the kernel answers at once, and says so when it lost an answer
        link.send(header + request)
        while True:
            answer = memoryview(link.recv(1 << 18))
            while answer:
                length, kind, *_ = _HEADER.unpack_from(answer)
                body = answer[_HEADER.size : length]
                answer = answer[_aligned(length) :]
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):  # how a dump ended is in its end
                    error = -struct.unpack_from("=i", body)[0]
                    if error == 0 or (error == errno.ENOENT and not dump):  # no such socket
                        return
                    raise OSError(error, os.strerror(error))
                yield body
            if not dump:
                return


def attributes(body: memoryview) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(body) >= _ATTRIBUTE.size:
        length, attribute = _ATTRIBUTE.unpack_from(body)
        found[attribute] = bytes(body[_ATTRIBUTE.size : length])
        body = body[_aligned(length) :]
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3

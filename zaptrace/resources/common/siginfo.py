"""The sender in a siginfo_t, as the pod numbers it or as the host does. See sigaction(2)."""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable
from typing import Annotated

from ...shapes import Length, Seen, Wrong

_SI_USER, _SI_MESGQ, _SI_TKILL = 0, -3, -6
_PID_OFFSET = 16
_SIZE = 128  # sizeof (siginfo_t)


class _HasSignal:
    def check(self, value: bytes, seen: Seen) -> None:
        (number,) = struct.unpack_from("<i", value)
        if not 1 <= number <= 64:
            raise Wrong("is of no signal", "1 to 64", str(number))


SigInfo = Annotated[bytes, Length(_SIZE), _HasSignal()]
"""A siginfo_t."""


def number_of(info: bytes) -> int:
    number: int = struct.unpack_from("<i", info)[0]
    return number


def _has_sender(info: bytes) -> bool:
    """Did the kernel write a sender? That of SI_QUEUE is what a program wrote, and stays so."""
    number, _error, code = struct.unpack_from("<iii", info)
    if number == signal.SIGCHLD and code > 0:
        return True
    return code in (_SI_USER, _SI_MESGQ, _SI_TKILL)


def _with_sender(info: bytes, change: Callable[[int], int | None]) -> bytes:
    if not _has_sender(info):
        return info
    (pid,) = struct.unpack_from("<i", info, _PID_OFFSET)
    changed = bytearray(info)
    struct.pack_into("<i", changed, _PID_OFFSET, change(pid) or 0)
    return bytes(changed)


def to_virtual(info: bytes, vpid: Callable[[int], int | None]) -> bytes:
    """As it goes into an image; a sender outside the pod is 0."""
    return _with_sender(info, vpid)


def to_real(info: bytes, rpid: Callable[[int], int]) -> bytes:
    """As the kernel of this host has to hold it, so that delivery translates it back."""
    return _with_sender(info, rpid)

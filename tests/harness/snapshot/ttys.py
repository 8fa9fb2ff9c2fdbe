"""A terminal's settings: termios, size, and the marks that ioctls tell."""

from __future__ import annotations

import array
import fcntl
import termios
from typing import Any

from harness.snapshot.look import Look

_IOCTLS = {
    "exclusive": 0x80045440, "packet mode": 0x80045438, "locked": 0x80045439, "discipline": 0x5424,
    "carrier": 0x5419, "readable": termios.FIONREAD, "unsent": termios.TIOCOUTQ,
}  # fmt: skip
"""TIOCGEXCL TIOCGPKT TIOCGPTLCK TIOCGETD TIOCGSOFTCAR, each an int."""


def read(look: Look, local: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        found["termios"] = termios.tcgetattr(local)
        found["size"] = tuple(termios.tcgetwinsize(local))
    except termios.error as error:
        found["termios"] = str(error)
    for name, request in _IOCTLS.items():
        value = array.array("i", [0])
        try:
            fcntl.ioctl(local, request, value)
            found[name] = value[0]
        except OSError as error:
            found[name] = error.strerror
    return found

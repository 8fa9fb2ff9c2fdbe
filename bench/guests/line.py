"""The line to a guest's first process (init.sh): a command goes there, what it writes comes back."""

from __future__ import annotations

import base64
import re
import socket
import time
from pathlib import Path

from ..system import LateError, RefusedError

_PART = 1 << 16


def connected(path: Path, patience_s: float) -> socket.socket:
    """To the socket of a line, which may not be there yet, or is but nobody listens to it yet."""
    made, deadline = socket.socket(socket.AF_UNIX), time.monotonic() + patience_s
    while True:
        try:
            made.connect(str(path))
            return made
        except OSError as error:
            if time.monotonic() > deadline:
                made.close()
                raise LateError(f"{path}: {error}") from None
            time.sleep(0.01)


class Line:
    def __init__(self, to: socket.socket) -> None:
        self._socket = to
        self._in_step = True

    def until(self, pattern: str, patience_s: float) -> re.Match[str]:
        """What comes until it matches."""
        deadline, got = time.monotonic() + patience_s, ""
        while not (found := re.search(pattern, got, re.S)):
            left = deadline - time.monotonic()
            if left <= 0:
                raise LateError(f"a guest: nothing like {pattern!r} in {patience_s:.0f} s")
            self._socket.settimeout(left)
            try:
                part = self._socket.recv(_PART)
            except TimeoutError:
                continue
            if not part:
                raise RefusedError("a guest went away")
            got += part.decode(errors="replace").replace("\r", "")
        return found

    def run(self, command: str, patience_s: float) -> str:
        """RefusedError when it fails, and from then on when its answer was not waited for."""
        if not self._in_step:
            raise RefusedError("a guest is still at what it was asked before")
        self._in_step = False
        self._socket.settimeout(patience_s)
        asked = base64.b64encode(command.encode()).decode()
        self._socket.sendall(f'sh -c "$(echo {asked} | base64 -d)"\n'.encode())
        found = self.until(r"^(.*)\n@end (\d+)\n", patience_s)
        self._in_step = True
        if found[2] != "0":
            raise RefusedError(f"status {found[2]}: {found[1][-200:]}")
        return found[1]

    def close(self) -> None:
        self._socket.close()

"""The command that a pod is launched with: where its program is, and why it cannot be executed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping

from ..errors import HostError, ZaptraceError
from ..linux.native import Bytes, Strings, ffi


class LaunchError(HostError):
    """The program could not be executed; `status` is 127 (not found) or 126, as a shell reports."""

    def __init__(self, what: str, status: int = 126, **fields: str | None) -> None:
        super().__init__(what, **fields)
        self.status = status


def find(command: str, env: Mapping[str, str], cwd: str | None) -> str:
    """The file that a shell would execute. Raises LaunchError."""
    if "/" in command:
        return command
    path = shutil.which(command, path=env.get("PATH", os.defpath))
    if path is None:
        raise LaunchError(f"cannot run {command}: not found in PATH", 127)
    return path


def launch_error(command: str, code: int) -> ZaptraceError:
    status = 127 if code == errno.ENOENT else 126
    return LaunchError(f"cannot run {command}: {os.strerror(code)}", status)


def c_string(text: str | bytes) -> Bytes:
    return ffi.new("char[]", text if isinstance(text, bytes) else os.fsencode(text))


def c_strings(texts: Iterable[str | bytes]) -> tuple[Strings, list[Bytes]]:
    """An array of C strings, with what keeps it alive."""
    strings = [c_string(text) for text in texts]
    return ffi.new("char *[]", [*strings, ffi.NULL]), strings

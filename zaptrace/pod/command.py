"""The command that a pod is launched with: where its program is, why it cannot be executed, its
environment, and its limit on files."""

from __future__ import annotations

import errno
import functools
import os
import resource

from ..errors import LaunchError, ZaptraceError
from ..linux.native import ffi

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ..linux.native import Bytes, Strings


def environment(env: Mapping[str, str] | None, cpu_level: int) -> dict[str, str]:
    """What a program begins with; None for ours. Raises HostError: there is less than the level."""
    found = dict(os.environ if env is None else env)
    if cpu_level:
        from ..linux import cpu  # hardly ever

        cpu.keep_to(cpu_level, found)
    return found


def hides(cpu_level: int) -> bool:
    """Is CPUID to be a fault for a pod's programs, so that they see no more than the level?"""
    if not cpu_level:
        return False
    from ..linux import cpu

    return cpu.has_faulting()


def find(command: str, env: Mapping[str, str], cwd: str | None) -> str:
    """The file that a shell would execute. Raises LaunchError."""
    if "/" in command:
        return command
    path = env.get("PATH", os.defpath)
    for directory in path.split(os.pathsep) if path else ():
        file = os.path.join(directory, command)
        if os.access(file, os.X_OK) and not os.path.isdir(file):
            return file
    raise LaunchError(f"cannot run {command}: not found in PATH", 127)


def launch_error(command: str, code: int) -> ZaptraceError:
    status = 127 if code == errno.ENOENT else 126
    return LaunchError(f"cannot run {command}: {os.strerror(code)}", status)


def c_string(text: str | bytes) -> Bytes:
    return ffi.new("char[]", text if isinstance(text, bytes) else os.fsencode(text))


def c_strings(texts: Iterable[str | bytes]) -> tuple[Strings, list[Bytes]]:
    """An array of C strings, with what keeps it alive."""
    strings = [c_string(text) for text in texts]
    return ffi.new("char *[]", [*strings, ffi.NULL]), strings


def launch_spec(
    path: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str | None,
    fds: Sequence[int],
    tty: bool,
) -> tuple[Any, list[Any]]:
    """What the tracer is told of a program to launch, with what keeps its strings alive."""
    spec = ffi.new("zt_launch_spec *")
    c_argv, c_env = c_strings(argv), c_strings(f"{k}={v}" for k, v in env.items())
    keep: list[Any] = [c_argv, c_env, c_string(path)]
    spec.path = keep[-1]
    spec.argv = c_argv[0]
    spec.envp = c_env[0]
    if cwd is not None:
        keep.append(c_string(cwd))
        spec.cwd = keep[-1]
    spec.fds = list(fds)
    spec.tty = tty
    return spec, keep


@functools.cache
def raise_file_limit() -> int:
    """Pods with many files need many descriptors in us; the soft limit that we had before, not 0."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft

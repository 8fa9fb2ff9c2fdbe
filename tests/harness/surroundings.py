"""Runs a command in a container's surroundings, made in namespaces of its own.

    surroundings.py WHAT... -- COMMAND...

Under the seccomp profile of a container engine (container.py), as the same user as before and without
capabilities, in a mount and a pid namespace. Its first process there reaps nothing, as that of
`docker run` without --init. WHAT is a name of `MOUNTS`, `limit:NAME=VALUE`, or `deny:CALL=ERRNO`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from harness import container

libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWUSER, _NEWPID = 0x20000, 0x10000000, 0x20000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = (
    1, 2, 4, 8, 32, 4096, 16384, 1 << 18,
)  # fmt: skip


def mount(what: str, where: str, kind: str, flags: int = 0, data: str = "") -> None:
    words = [word.encode() for word in (what, where, kind)]
    if libc.mount(*words, ctypes.c_ulong(flags), data.encode()):
        raise OSError(
            ctypes.get_errno(), f"mount {kind} {where}: {os.strerror(ctypes.get_errno())}"
        )


def read_only_root() -> None:
    """`docker run --read-only`: all but /dev/shm, which is an engine's own tmpfs."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in dict.fromkeys(points):
        if not point.startswith(("/proc", "/sys", "/dev")):
            _remount(point, _RDONLY)
    small_shm()


def _remount(point: str, flags: int) -> None:
    """What a mount of the namespace above is not allowed it stays not allowed."""
    there = os.statvfs(point).f_flag & (_RDONLY | _NOSUID | _NODEV | _NOEXEC)
    mount("none", point, "none", _REMOUNT | _BIND | there | flags | _times(point))


def _times(point: str) -> int:
    found = os.statvfs(point).f_flag
    return (found & 1024) | (found & 2048) | (1 << 21 if found & 4096 else 0)


def tmp_noexec() -> None:
    """But for a tree that lies there: who tries it would have installed it elsewhere."""
    tmp = os.environ.get("TMPDIR", "/tmp")
    tree = str(Path(__file__).resolve().parents[2])
    mount(tmp, tmp, "none", _BIND)
    if tree.startswith(f"{tmp}/"):
        mount(tree, tree, "none", _BIND)
    _remount(tmp, _NOEXEC)


def small_shm() -> None:
    mount("shm", "/dev/shm", "tmpfs", _NOSUID | _NODEV | _NOEXEC, data="size=64m")


def no_ptmx() -> None:
    mount("/dev/null", "/dev/ptmx", "none", _BIND)
    mount("none", "/dev/pts", "tmpfs")


def no_proc_sys() -> None:
    mount("none", "/proc/sys", "tmpfs", _RDONLY)


def hidepid() -> None:
    mount("proc", "/proc", "proc", data="hidepid=2")


def nobody_in_passwd() -> None:
    mount("/dev/null", "/etc/passwd", "none", _BIND)


MOUNTS: dict[str, Callable[[], None]] = {
    "small /dev/shm": small_shm,
    "read-only root": read_only_root,
    "noexec /tmp": tmp_noexec,
    "no /dev/ptmx": no_ptmx,
    "no /proc/sys": no_proc_sys,
    "hidepid=2": hidepid,
    "nobody in /etc/passwd": nobody_in_passwd,
}


def own_namespaces() -> None:
    """With this user's id mapped to itself. Raises OSError where the host allows no namespaces."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_NEWUSER | _NEWNS | _NEWPID):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def first_process(command: Callable[[], None]) -> int:
    """Fork the first process of the namespace, which waits for the command alone."""
    first = os.fork()
    if first:
        _, status = os.waitpid(first, 0)
        return os.waitstatus_to_exitcode(status)
    libc.prctl(1, signal.SIGKILL)
    mount("proc", "/proc", "proc")
    child = os.fork()
    if not child:
        command()
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def main() -> int:
    at = sys.argv.index("--")
    what, words = sys.argv[1:at], sys.argv[at + 1 :]

    def command() -> None:
        denied = []
        for word in what:
            if word in MOUNTS:
                MOUNTS[word]()
            elif word.startswith("limit:"):
                name, _, value = word.removeprefix("limit:").partition("=")
                resource.setrlimit(getattr(resource, name), (int(value), int(value)))
            else:
                denied.append(word.removeprefix("deny:"))
        container.enter(denied)
        os.execvp(words[0], words)  # as no root of the namespace it loses all capabilities

    own_namespaces()
    mount("none", "/", "none", _REC | _PRIVATE)
    return first_process(command)


if __name__ == "__main__":
    sys.exit(main())

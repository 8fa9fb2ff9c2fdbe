"""Can a pod live on a host? Asked before anything is frozen, so it only looks at what shows.

The source writes down facts of a running pod, the destination gives the reasons against them. The
CLAIM stage of the restore looks again, and closer; this here saves a pod from being frozen and
sent for nothing.

    facts   {"host": host.facts(), "bytes": estimate of the image's size,
             "files": [[path, size, is it code?]], "ports": [[family, address, port]]}
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from .. import shapes
from ..errors import BadImage, WireError, ZaptraceError
from ..linux import host, outside, procfs
from ..pod.pod import Pod
from . import runtime

_LISTEN = "0A"
_SHOWN = 10
"""Reasons of one kind that are spelled out."""


def facts_of(pod: Pod) -> dict[str, Any]:
    """What a destination has to judge about `pod`, which runs on meanwhile."""
    files: dict[str, tuple[int, bool]] = {}
    size = 0
    inodes: set[int] = set()
    for process in pod.processes():
        proc = Path("/proc") / str(process.rpid)
        try:
            status = procfs.status(process.rpid)
            size += _estimate(status)
            for line in procfs.read(f"{proc}/maps").split("\n"):
                fields = line.split(None, 5)
                if len(fields) == 6 and fields[5].startswith("/"):
                    _add(files, fields[5], "x" in fields[1])
            for fd in os.listdir(proc / "fd"):
                inodes.add(os.stat(proc / "fd" / fd).st_ino)
        except (OSError, KeyError, ValueError):  # it ended meanwhile
            continue
    return {
        "host": host.facts_of(pod.handle).plain(),
        "bytes": size,
        "files": [[path, *seen] for path, seen in sorted(files.items())],
        "ports": _listening(inodes),
    }


def size_of(pod: Pod) -> int:
    """What an image of `pod` may come to, before any codec: what its processes have in memory."""
    size = 0
    for process in pod.processes():
        with contextlib.suppress(OSError, KeyError, ValueError):  # it ended meanwhile
            size += _estimate(procfs.status(process.rpid))
    return size


def _estimate(status: dict[str, str]) -> int:
    return sum(int(status[k].split()[0]) << 10 for k in ("RssAnon", "RssShmem"))


_Family = Annotated[int, shapes.OneOf(socket.AF_INET, socket.AF_INET6)]


@dataclass(frozen=True)
class _Facts:
    """As they come from a peer."""

    host: host.Facts | None
    bytes: shapes.Size
    files: list[tuple[shapes.Word4K, shapes.Size, bool]]
    ports: list[tuple[_Family, shapes.IpAddress, shapes.U16]]


def _read(facts: dict[str, Any]) -> _Facts:
    """What the facts say, where they say it. Raises WireError for what makes no sense."""
    nothing: dict[str, Any] = {"host": None, "bytes": 0, "files": [], "ports": []}
    known = {key: facts.get(key) or default for key, default in nothing.items()}
    try:
        return shapes.read(_Facts, known)
    except BadImage as e:
        raise WireError(
            "the facts of the pod make no sense", needed=e.needed, found=f"{e.what}: {e.found}"
        ) from None


def reasons(facts: dict[str, Any], root: Path, *, here: bool = False) -> list[str]:
    """Why a pod with these facts cannot live on this host; empty when nothing shows.

    With `here` the pod itself is on this host: its own name does not count against it.
    """
    found: list[str] = []
    told = _read(facts)
    if told.host is not None:
        try:
            host.check_facts(told.host)
        except ZaptraceError as e:
            found.append(f"{e.what}: needs {e.needed}")
    name = facts.get("name")
    if not here and isinstance(name, str):
        try:
            if runtime.is_running(root / runtime.check_name(name)):
                found.append(f"the name {name} is taken by a pod there")
        except ZaptraceError as e:
            found.append(e.what)
    found += _limited([why for entry in told.files if (why := _differs(entry))])
    if not (told.host and host.is_this_one(told.host)):  # else they are the pod's own, handed over
        found += _limited([why for entry in told.ports if (why := _taken(entry))])
    return found


def _limited(found: list[str]) -> list[str]:
    more = len(found) - _SHOWN
    return found if more <= 0 else [*found[:_SHOWN], f"and {more} more"]


def _add(files: dict[str, tuple[int, bool]], path: str, code: bool) -> None:
    """Code is the same only if it is as large; what else is the same, the restore finds out."""
    if path.startswith(("/dev/", "/memfd:")):
        return
    try:
        there = outside.stat(path)
    except OSError:
        return
    files[path] = (there.st_size, code or files.get(path, (0, False))[1])


def _differs(entry: tuple[str, int, bool]) -> str | None:
    path, size, code = entry
    try:
        there = outside.stat(path)
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as e:
        return f"{path}: {e.strerror}"
    if there.st_size < size or (code and there.st_size != size):
        return f"{path} is another file: {there.st_size} bytes, not {size}"
    return None


def _listening(inodes: set[int]) -> list[list[int | str]]:
    """The TCP ports that these sockets listen on; /proc/net/tcp, see proc(5)."""
    found: list[list[int | str]] = []
    for family, path in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            lines = procfs.read(f"/proc/self/net/{path}").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[9]) in inodes:
                address, _, port = fields[1].rpartition(":")
                found.append([int(family), _address(family, address), int(port, 16)])
    return found


def _address(family: int, text: str) -> str:
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    return socket.inet_ntop(family, b"".join(words))


def _taken(entry: tuple[int, str, int]) -> str | None:
    family, address, port = entry
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
    except OSError as e:
        return f"port {port} at {address}: {e.strerror}"
    return None

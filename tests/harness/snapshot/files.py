"""Descriptors: what each is, every line of its fdinfo, its inode, and all that fcntl tells."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.snapshot import sockets, ttys
from harness.snapshot.look import Look
from zaptrace.errors import ZaptraceError
from zaptrace.linux.native import NativeError, lib
from zaptrace.linux.program import Program, Results
from zaptrace.view import descriptions, duplicates
from zaptrace.view.descriptions import Descriptor

IGNORED_FDINFO = {
    "mnt_id": "a number of the host's",
    "ino": "a number of the host's; it is told by `is`",
    "it_value": "a timer's time left goes on",
    "eventfd-id": "a number of the host's",
    "tty-index": "a number of the host's",
    "clockid_offset": "of the host's clock",
}
NULL = "/dev/null"

_F_GETOWN_EX, _F_GETSIG, _F_GETLEASE = 16, 11, 1025
_FCNTL = {
    "signal": _F_GETSIG, "lease": _F_GETLEASE, "pipe size": 1032, "seals": 1034, "flags": 3,
}  # fmt: skip
_OWNER = struct.Struct("=ii")


def read(look: Look, rpid: int) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for number in sorted(map(int, os.listdir(f"/proc/{rpid}/fd"))):
        status = os.stat(f"/proc/{rpid}/fd/{number}")
        look.opened(status.st_dev, status.st_ino, f"fd {number} of {look.id(rpid)}")
        found[number] = _read(look, rpid, number, status)
    return found


def _read(look: Look, rpid: int, number: int, status: os.stat_result) -> dict[str, Any]:
    link = os.readlink(f"/proc/{rpid}/fd/{number}")
    seen: dict[str, Any] = {
        "is": look.name(link, status.st_dev, status.st_ino),
        "inode": _inode(link, status),
        "info": _info(look, rpid, number),
    }
    flags = int(seen["info"]["flags"][0], 8)
    shows = (link, status.st_dev, status.st_ino)
    signals = bool(flags & os.O_ASYNC) or any(
        "LEASE" in lock for lock in seen["info"].get("lock", [])
    )
    look.descriptors.append(
        Descriptor(_Holder(look, rpid), number, shows, bool(flags & os.O_PATH), signals)
    )
    if link == NULL:
        # A supervisor's stdio may stand in for what was there.
        return {**seen, "info": {k: v for k, v in seen["info"].items() if k != "flags"}}
    if flags & os.O_PATH:
        return seen
    try:
        local = duplicates.take(_Holder(look, rpid), number)
    except ZaptraceError as error:
        return {**seen, "duplicate": error.what}
    try:
        seen["fcntl"] = _fcntl(look, local)
        if stat.S_ISSOCK(status.st_mode):
            seen |= sockets.read(look, local, status.st_ino)
        elif stat.S_ISCHR(status.st_mode) and os.isatty(local):
            seen["terminal"] = ttys.read(look, local)
    finally:
        os.close(local)
    return seen


def _inode(link: str, status: os.stat_result) -> dict[str, Any]:
    """Files of /proc, and of namespaces, are as old as the moment at which somebody looked.

    How many directories /proc has, and one of everybody's (/tmp), is not the pod's.
    """
    others = stat.S_ISDIR(status.st_mode) and (link == "/proc" or status.st_mode & stat.S_ISVTX)
    changes = stat.S_ISREG(status.st_mode) and not link.startswith("/proc/") and ":[" not in link
    return {
        "mode": oct(status.st_mode),
        "links": 0 if others else status.st_nlink,
        "owner": (status.st_uid, status.st_gid),
        "size": status.st_size,
        "modified": status.st_mtime_ns if changes else 0,
    }


@dataclasses.dataclass(frozen=True)
class _Holder:
    """A process, for who has to find out which of its descriptors are one description."""

    look: Look
    lives_in: int

    @property
    def vpid(self) -> int | str:
        return self.look.id(self.lives_in)

    comm = ""

    def twin(self, below: int) -> None:
        """Not known before all are looked at."""

    def run(self, program: Program) -> Results:
        results = self.look.run(self.lives_in, program)
        if results is None:
            raise NativeError("pidfd_getfd is denied", lib.ZT_ERR_OS, errno.ENOSYS)
        return results


def _whatever_its_name(shows: Any) -> tuple[object, ...]:
    """A file that was removed may have another of its names then; what has no inode has its kind."""
    link, device, inode = shows
    return (device, inode, link.startswith("anon_inode:") and link)


def name_descriptions(look: Look, processes: Iterable[dict[str, Any]]) -> None:
    """Descriptors with one open file description have one name, in `fds` of each process.

    Last of all: where kcmp(2) is denied programs run, which changes how a thread waits. A pod without
    a tracer is told by the files of its descriptors then, whatever these are called: a file that has
    lost the name that it was opened by is opened by another one after a move.
    """
    descriptors = look.descriptors
    try:
        first = descriptions.same(descriptors)
    except NativeError as error:
        if look.handle or error.errno not in (errno.EPERM, errno.ENOSYS):
            raise
        shown = [_whatever_its_name(d.shows) for d in descriptors]
        first = [shown.index(one) for one in shown]
    names = (look.number("description", index) for index in first)
    for seen in processes:
        for fd in seen.get("fds", {}).values():
            fd["description"] = next(names)


def _info(look: Look, rpid: int, number: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with open(f"/proc/{rpid}/fdinfo/{number}", encoding="utf-8", errors="backslashreplace") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() not in IGNORED_FDINFO:
                value = _stable(look, key.strip(), value.strip())
                found.setdefault(key.strip(), []).append(value)
    # One that rings once may do so between two looks: it is idle then, with one tick.
    if "ticks" in found and (found["ticks"] == ["1"] or not _is_idle_timer(rpid, number)):
        found["ticks"] = ["goes on, also while the pod is looked at"]
    return {key: sorted(values) for key, values in found.items()}


def _is_idle_timer(rpid: int, number: int) -> bool:
    text = Path(f"/proc/{rpid}/fdinfo/{number}").read_text()
    return "it_value: (0, 0)\nit_interval: (0, 0)" in text


def _stable(look: Look, key: str, value: str) -> str:
    if key in ("tfd", "inotify wd", "fanotify ino"):
        # Lines of epoll and inotify name inodes, and how they are found, in this host's numbers.
        return re.sub(r"\b(ino|sdev|f_handle|fhandle-\w+|mnt_id):\s*\S+", "", value)
    if key == "lock":  # "1: POSIX ADVISORY WRITE 123 fe:00:4567 0 EOF", with the holder's rpid
        words = value.split()
        holder = look.id(int(words[4])) if int(words[4]) > 0 else words[4]
        return " ".join([*words[1:4], str(holder), *words[6:]])
    if key in ("Pid", "NSpid"):
        return " ".join(str(look.id(int(word))) for word in value.split() if word != "-1")
    return value


def _fcntl(look: Look, local: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in _FCNTL.items():
        try:
            found[name] = fcntl.fcntl(local, command)
        except OSError as error:
            found[name] = error.strerror
    try:
        kind, owner = _OWNER.unpack(fcntl.fcntl(local, _F_GETOWN_EX, bytes(_OWNER.size)))
        found["owner"] = (kind, look.id(owner))
    except OSError as error:
        found["owner"] = error.strerror
    return found

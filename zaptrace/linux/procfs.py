"""What /proc says of a process, parsed. See proc(5)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
from dataclasses import dataclass

_MAP = re.compile(
    r"([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+)\s*(.*)", re.S
)


@dataclass(frozen=True)
class Map:
    """A line of /proc/PID/smaps."""

    start: int
    end: int
    permissions: str  # "rw-p"
    offset: int
    device: int  # as os.makedev
    inode: int
    name: str  # path, "[heap]", ... exactly as the kernel writes it: see common/inode
    flags: frozenset[str]  # VmFlags, two letters each
    key: int = 0  # memory protection key
    swapped: bool = False  # some of it is in swap space
    huge: int = 0  # bytes of a page of it, if these are huge pages (hugetlb)

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def shared(self) -> bool:
        return self.permissions[3] == "s"


def read(path: str) -> str:
    """A file of /proc, as text; bytes that are no UTF-8 survive a round trip through os.fsencode."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return file.read()


def core_filter(proc: str) -> int:
    """What a core dump of it holds, by its directory in /proc; -1 under a kernel without core dumps.

    See proc_pid_coredump_filter(5). Raises ProcessLookupError for one that was killed: its memory is
    gone, and the file empty.
    """
    try:
        text = read(f"{proc}/coredump_filter")
    except FileNotFoundError:
        return -1
    if not text:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return int(text, 16)


def maps(rpid: int) -> list[Map]:
    """The memory map, with VmFlags. One read of smaps; cheap flags for the kernel's own mappings."""
    found: list[Map] = []
    # Of each mapping a line as in maps, some twenty of figures, and the flags.
    first, *rest = read(f"/proc/{rpid}/smaps").split("\nVmFlags:")
    for after in rest:
        flags, _, following = after.partition("\n")
        if match := _MAP.fullmatch(first.partition("\n")[0]):
            start, end, permissions, offset, major, minor, inode, name = match.groups()
            found.append(
                Map(
                    int(start, 16),
                    int(end, 16),
                    permissions,
                    int(offset, 16),
                    os.makedev(int(major, 16), int(minor, 16)),
                    int(inode),
                    name,
                    frozenset(flags.split()),
                    _figure(first, "\nProtectionKey:"),
                    _figure(first, "\nSwap:") > 0,
                    _figure(first, "\nKernelPageSize:") << 10 if " ht" in flags else 0,
                )
            )
        first = following
    return found


@dataclass(frozen=True)
class Row:
    """A line of /proc/PID/maps: where it lies and what file it is of."""

    start: int
    device: int
    inode: int


def rows(pid: int | str) -> list[Row]:
    """The memory map without what is costly to tell."""
    found = []
    for line in read(f"/proc/{pid}/maps").split("\n"):
        match = _MAP.fullmatch(line)
        if match:
            start, _end, _permissions, _offset, major, minor, inode, _name = match.groups()
            device = os.makedev(int(major, 16), int(minor, 16))
            found.append(Row(int(start, 16), device, int(inode)))
    return found


def _figure(lines: str, key: str) -> int:
    at = lines.find(key)
    return int(lines[at + len(key) :].split(None, 1)[0]) if at >= 0 else 0


def status(rpid: int) -> dict[str, str]:
    """/proc/PID/status as key -> value."""
    lines = read(f"/proc/{rpid}/status").splitlines()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in lines)}


def stat_fields(path: str) -> list[str]:
    """/proc/PID/stat after the name: index 0 is field 3 of proc(5), the state."""
    return read(path).rpartition(")")[2].split()


def children(rpid: int) -> list[int]:
    """Children of all threads of a process, zombies too (CONFIG_PROC_CHILDREN)."""
    found: list[int] = []
    for tid in os.listdir(f"/proc/{rpid}/task"):
        found += map(int, read(f"/proc/{rpid}/task/{tid}/children").split())
    return found


def traced_by(tids: set[int]) -> list[int]:
    """The processes that any of these threads traces."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, KeyError, ValueError):
            if entry.isdigit() and int(status(int(entry))["TracerPid"]) in tids:
                found.append(int(entry))
    return found


def end_traced(tids: set[int]) -> None:
    """SIGKILL to the processes that any of these threads traces."""
    for rpid in traced_by(tids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(rpid, signal.SIGKILL)


def fds(rpid: int) -> list[int]:
    """The descriptors of a process, lowest first."""
    return sorted(map(int, os.listdir(f"/proc/{rpid}/fd")))


def fdinfo(rpid: int, fd: int) -> dict[str, list[str]]:
    """/proc/PID/fdinfo/FD as key -> values, in the order of the lines."""
    found: dict[str, list[str]] = {}
    for line in read(f"/proc/{rpid}/fdinfo/{fd}").splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), []).append(value.strip())
    return found

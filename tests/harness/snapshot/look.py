"""What is the same for all of one look at a pod: its ids, and the numbers that its objects get."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

from harness.snapshot import diag
from zaptrace.linux.program import Program, Results
from zaptrace.linux.tracee import Thread, tasks
from zaptrace.view.descriptions import Descriptor

GONE = " (deleted)"
_NUMBERED = re.compile(r"^(pipe|socket|anon_inode|/memfd:[^ ]*|/dev/zero|/SYSV\w+|/\[aio\])")

_COUNTED_AS = {"/memfd:zero": "/dev/zero"}
"""One that comes back as the other (known_differences.py) leaves the numbers of the rest as they were."""


class Look:
    """Of one moment. `handle` is the tracer's, or None: then nothing can be run in the pod."""

    def __init__(self, handle: Any, vpids: dict[int, int]) -> None:
        self.handle = handle
        self.vpids = vpids
        self.ids = dict(vpids)
        self.ended: set[int] = set()
        self.traced: set[int] = set()
        if handle:
            for task in tasks(handle):
                self.ids[task.rtid] = task.vtid
                self.traced.add(task.rpid)
                if task.ended:
                    self.ended.add(task.rtid)
        self.descriptors: list[Descriptor] = []
        self._seen: dict[tuple[str, Any], str] = {}
        self._count: dict[str, int] = {}
        self._living: dict[tuple[int, int], str | None] = {}
        self._inodes: dict[tuple[int, int], str] = {}
        self._sockets: dict[int, dict[str, Any]] | None = None

    def id(self, number: int) -> int | str:
        """A process, thread, group or session as the pod calls it; 0 is none."""
        return self.ids.get(number, "outside the pod or gone") if number else 0

    def lives_in(self, rpid: int) -> int | None:
        """The first thread of a process that has not ended; None of a zombie."""
        for rtid in by_age(rpid):
            text = Path(f"/proc/{rpid}/task/{rtid}/stat").read_text("utf-8", "replace")
            if text.rpartition(")")[2].split()[0] != "Z":
                return rtid
        return None

    def run(self, rtid: int, program: Program) -> Results | None:
        """In a thread of the pod; None where that cannot be done."""
        if not self.handle or rtid in self.ended:
            return None
        return Thread(self.handle, rtid, 0).run(program)

    def number(self, kind: str, identity: Any) -> str:
        """`pipe 3`: objects of a kind in the order of their first appearance."""
        if (kind, identity) not in self._seen:
            counted = _COUNTED_AS.get(kind, kind)
            self._count[counted] = self._count.get(counted, 0) + 1
            self._seen[kind, identity] = f"{kind} {self._count[counted]}"
        return self._seen[kind, identity]

    def known(self, kind: str, identity: Any) -> str:
        """The same, of an object that must not become known by this."""
        return self._seen.get((kind, identity), f"another {kind}")

    def name(self, link: str, device: int, inode: int) -> str:
        """What /proc calls a file or mapping, without what is this host's or this moment's."""
        if found := re.match(r"/proc/(\d+)(/.*|$)", link):
            return f"/proc/{self.id(int(found[1]))}{self._of_thread(found[2])}"
        if link.startswith("/dev/pts/"):
            return self.number("terminal", link)
        if link.endswith(GONE) and not _NUMBERED.match(link):
            # Made again it has another name, that is none either.
            return self.living(link, device, inode) or self.number("removed file", (device, inode))
        if link.endswith(".zt-next"):  # a socket's file, which has its name from the thaw on
            return link.removesuffix(".zt-next")
        if _NUMBERED.match(link) and not link.startswith("anon_inode"):
            kind = re.sub(r":\[\d+\]", "", link).removesuffix(GONE)
            return self.number(kind, (device, inode) if link.startswith("/") else inode)
        return link

    def _of_thread(self, path: str) -> str:
        """Whose name is gone only once somebody has looked for it, if the thread is."""
        found = re.match(r"/task/(\d+)(/.*|$| .*)", path)
        if found is None:
            return path
        gone = int(found[1]) not in self.ids
        return f"/task/{self.id(int(found[1]))}{found[2].removesuffix(GONE) if gone else found[2]}"

    def living(self, shown: str, device: int, inode: int) -> str | None:
        """A name, in its directory or below, of what the kernel shows as removed, if it has one."""
        directory = os.path.dirname(shown)
        if _NUMBERED.match(shown) or directory == "/":  # a message queue, and no test's place
            return None
        if (device, inode) not in self._living:
            self._living[device, inode] = _find(directory, device, inode)
        return self._living[device, inode]

    def opened(self, device: int, inode: int, by: str) -> None:
        """A descriptor of this file has been seen."""
        self._inodes.setdefault((device, inode), by)

    def inode(self, device: int, inode: int) -> str:
        """A file, by the first descriptor of it."""
        return self._inodes.get((device, inode), "a file that is not open")

    def socket(self, inode: int) -> dict[str, Any]:
        """What sock_diag tells of a socket; empty for a kind that it does not know."""
        if self._sockets is None:
            self._sockets = diag.dump()
        return self._sockets.get(inode, {})


def by_age(rpid: int) -> list[int]:
    """The threads of a process, oldest first: so the kernel lists them, whatever their numbers."""
    return list(map(int, os.listdir(f"/proc/{rpid}/task")))


def _is_shared(directory: str) -> bool:
    """Below it are directories of others, who may watch them: they would be told of us."""
    with contextlib.suppress(OSError):
        if os.stat(directory).st_mode & stat.S_ISVTX:  # /tmp, /dev/shm
            return True
    return Path(tempfile.gettempdir()).is_relative_to(directory)


def _find(directory: str, device: int, inode: int) -> str | None:
    for home, below, files in os.walk(directory):
        if _is_shared(home):
            below.clear()
        for path in (os.path.join(home, name) for name in files):
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                if (status.st_dev, status.st_ino) == (device, inode):
                    return path
    return None

"""System V segments in the memory of a process, shmop(2): attached as they were, piece by piece.

What is left of an attachment may be any part of it, anywhere, with any protection. So a segment is
attached whole for a while, where nothing else is to be, and each mapping is made from there. The
kernel counts mappings as attachments: there are as many as there were.
"""

from __future__ import annotations

from ...errors import RestoreError
from ...linux import ipc
from ...linux.program import Program
from ...view.build import Build, BuildProcess
from .mappings import PAGE, PROT_EXEC, Mapping
from .places import free_places
from .seeds import Whole

_SHM_RDONLY, _SHM_EXEC = 0o10000, 0o100000
_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2

_Way = tuple[int, bool, bool]
"""A segment, and how it is attached: for reading only, for executing as well."""


class Segments:
    """Those of one process."""

    def __init__(
        self,
        mappings: list[Mapping],
        others: list[Whole],
        process: BuildProcess,
        build: Build,
    ) -> None:
        self._process = process
        self._build = build
        sizes: dict[_Way, int] = {}
        for m in mappings:
            if m.kind == "segment":
                sizes.setdefault(_way(m), self._size(m.inode))
        taken: list[Mapping | Whole] = [*mappings, *others]
        places = free_places([(one.start, one.end) for one in taken], sizes.values())
        self._places = {
            way: _found(start, sizes[way]) for way, start in zip(sizes, places, strict=True)
        }

    def _size(self, vid: int) -> int:
        for one in ipc.objects(self._build.handle):
            if (one.kind, one.vid) == (ipc.SHM, vid):
                return -(-one.size // PAGE) * PAGE
        raise RestoreError(
            f"cannot restore process {self._process.vpid}: a System V segment is missing",
            vpid=self._process.vpid,
            needed=f"segment {vid}, which it has attached",
            found="no room that provides it",
        )

    def attach(self, program: Program) -> None:
        """Each of them whole."""
        for (vid, read_only, execute), start in self._places.items():
            rid = ipc.real(self._build.handle, ipc.SHM, vid)
            assert rid is not None, "its size is known"
            flags = (_SHM_RDONLY if read_only else 0) | (_SHM_EXEC if execute else 0)
            program.call("shmat", rid, start, flags)

    def map(self, program: Program, m: Mapping) -> None:
        """A piece of one; of shared memory a length of none means: once more, there."""
        place, size = self._places[_way(m)] + m.offset, m.end - m.start
        program.call("mremap", place, 0, size, _MREMAP_MAYMOVE | _MREMAP_FIXED, m.start)
        program.call("mprotect", m.start, size, m.protection)

    def detach(self, program: Program) -> None:
        """What they were made from."""
        for start in self._places.values():
            program.call("shmdt", start)


def _way(m: Mapping) -> _Way:
    return m.inode, not m.may_write, bool(m.protection & PROT_EXEC)


def _found(start: int | None, size: int) -> int:
    if start is None:
        raise RestoreError(
            "cannot restore a System V segment: there is no free place in its process",
            needed=f"{size} bytes of addresses",
            found="mappings everywhere",
        )
    return start

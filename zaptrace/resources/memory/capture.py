"""From the memory of a frozen pod to States and parts."""

from __future__ import annotations

import stat

from ...image.writebehind import WriteBehind
from ...linux import procfs
from ...linux.native import lib
from ...view.frozen import FrozenPod, FrozenProcess
from ..common import sameness
from ..common.aio import noted
from ..common.inode import Inode, Inodes
from . import attributes
from .mappings import (
    MappedFile,
    Mapping,
    Object,
    is_private_huge,
    kind_of,
    name_of,
    protection,
    refuse,
    refuse_segment,
    segment_of,
)
from .objects import Objects
from .pages import Pages, Piece, Saver
from .runs import pack, pack_pairs
from .sharing import Sharing


class Capture:
    def __init__(self, pod: FrozenPod, pipe: WriteBehind) -> None:
        self._pod = pod
        self._pipe = pipe
        self._inodes = Inodes.of(pod)
        self._objects = Objects(pod)
        self._files: dict[Inode, list[procfs.Map]] = {}
        self._sharing = Sharing(pod)

    def process(self, process: FrozenProcess, part: str) -> list[Mapping]:
        pages = Pages(process)
        try:
            with self._pod.image.part(part) as writer:
                saver = Saver(pages, writer, self._pipe)
                found = [
                    self._mapping(process, m, pages, saver)
                    for m in process.maps
                    if not noted(self._pod, process, m)  # the ring of an AIO context: its room's
                ]
                saver.finish()
        finally:
            pages.close()
        return found

    def objects(self) -> list[Object]:
        """All that `process` came upon."""
        return self._objects.capture()

    def files(self) -> list[MappedFile]:
        """What they have to be when the pod goes on: what is mapped privately is not to change."""
        found = []
        for inode, maps in self._files.items():
            if inode.path is not None and inode.status and stat.S_ISREG(inode.status.st_mode):
                kind = sameness.DATA if all(m.shared for m in maps) else sameness.CONSTANT
                code = any("x" in m.permissions for m in maps)
                print_ = sameness.take(inode.path, inode.status, kind, code=code)
                found.append(MappedFile(inode.path, print_))
        return found

    def close(self) -> None:
        self._sharing.close()

    def _mapping(
        self, process: FrozenProcess, m: procfs.Map, pages: Pages, saver: Saver
    ) -> Mapping:
        segment = segment_of(self._pod, m)
        known = segment is None and not is_private_huge(m)
        inode = self._inodes.mapped(m) if m.inode and known else None
        if segment is None:
            refuse(process, m, inode)
        else:
            refuse_segment(process, m)
        kind = kind_of(inode, m) if segment is None else "segment"
        held: list[Piece] = []
        guards: list[tuple[int, int]] = []
        for piece in pages.scan(m.start, m.end, _what_to_look_for(kind, m.shared)):
            if piece[2] == lib.ZT_RUN_GUARD:
                guards.append(piece[:2])
            else:
                held.append(piece)
        if inode is not None and kind == "object":
            self._objects.add(inode, process, m, [piece[:2] for piece in held], guards)
        elif inode is not None:
            self._files.setdefault(inode, []).append(m)
        runs = self._sharing.save(pages, held, "mg" in m.flags, saver)
        return Mapping(
            start=m.start,
            end=m.end,
            protection=protection(m),
            kind=kind,
            shared=m.shared,
            path=inode.path if inode and inode.path is not None else b"",
            offset=m.offset,
            device=inode.key[0] if inode else 0,
            inode=inode.key[1] if inode else segment or 0,
            flags=" ".join(sorted(m.flags & attributes.KEPT)),
            key=m.key,
            name=name_of(m),
            guards=pack_pairs(guards),
            runs=pack(runs),
            huge=m.huge,
        )


def _what_to_look_for(kind: str, shared: bool) -> int:
    if shared:
        return lib.ZT_PAGES_GUARD
    return lib.ZT_PAGES_OWN if kind == "anonymous" else lib.ZT_PAGES_UNLIKE_FILE

"""From the memory of a frozen pod to States and parts."""

from __future__ import annotations

from ...image.writebehind import WriteBehind
from ...linux import procfs
from ...linux.native import lib
from ...view.frozen import FrozenPod, FrozenProcess
from . import attributes
from .mappings import Mapping, Object, kind_of, protection, refuse
from .objects import Objects
from .pages import Pages, Piece, Saver
from .runs import pack, pack_pairs
from .sharing import Sharing


class Capture:
    def __init__(self, pod: FrozenPod, pipe: WriteBehind) -> None:
        self._pod = pod
        self._pipe = pipe
        self._objects = Objects(pod)
        self._sharing = Sharing(pod)

    def process(self, process: FrozenProcess, part: str) -> list[Mapping]:
        pages = Pages(process)
        try:
            with self._pod.image.part(part) as writer:
                saver = Saver(pages, writer, self._pipe)
                found = [self._mapping(process, m, pages, saver) for m in process.maps]
                saver.finish()
        finally:
            pages.close()
        return found

    def objects(self) -> list[Object]:
        """All that `process` came upon."""
        return self._objects.capture()

    def close(self) -> None:
        self._sharing.close()

    def _mapping(
        self, process: FrozenProcess, m: procfs.Map, pages: Pages, saver: Saver
    ) -> Mapping:
        refuse(process, m)
        kind, path, status = kind_of(process, m)
        held: list[Piece] = []
        guards: list[tuple[int, int]] = []
        for piece in pages.scan(m.start, m.end, _what_to_look_for(kind, m.shared)):
            if piece[2] == lib.ZT_RUN_GUARD:
                guards.append(piece[:2])
            else:
                held.append(piece)
        if kind == "object":
            self._objects.add(process, m, [piece[:2] for piece in held], guards)
        runs = self._sharing.save(pages, held, "mg" in m.flags, saver)
        return Mapping(
            start=m.start,
            end=m.end,
            protection=protection(m),
            kind=kind,
            shared=m.shared,
            path=path,
            offset=m.offset,
            device=m.device,
            inode=m.inode,
            size=status.st_size if status else 0,
            mtime_ns=status.st_mtime_ns if status else 0,
            flags=" ".join(sorted(m.flags & attributes.KEPT)),
            key=m.key,
            name=m.name[6:-1] if m.name.startswith("[anon:") else "",
            guards=pack_pairs(guards),
            runs=pack(runs),
        )


def _what_to_look_for(kind: str, shared: bool) -> int:
    if shared:
        return lib.ZT_PAGES_GUARD
    return lib.ZT_PAGES_OWN if kind == "anonymous" else lib.ZT_PAGES_UNLIKE_FILE

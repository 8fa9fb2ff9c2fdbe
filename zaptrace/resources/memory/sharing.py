"""Which pages relatives share by copy-on-write, so that each is saved once and shared again.

Without privilege no page's frame can be seen. But the kernel tells which pages are mapped here
alone (pagemap, bit 56); another one that is byte for byte the same at the same address in a relative
is taken for the same page. If it was not, sharing it changes nothing that a program could see.

A process is compared with its ancestors first, whose memory most of it is; what is left is looked
up among the pages of all others by a hash, and compared.
"""

from __future__ import annotations

from ...ids import SUPERVISOR
from ...linux.native import lib
from ...view.frozen import FrozenPod, FrozenProcess
from .pages import Pages, Piece, Saver
from .runs import Run, Span, split, without

_PAGE = 4096
_ANCESTORS = 16

Spans = list[Span[int]]
"""Pages that a process owns and others may share; `what` is the offset in its part less the start."""


class Sharing:
    def __init__(self, pod: FrozenPod) -> None:
        self._parent: dict[int, int] = {p.vpid: p.ppid for p in pod.processes}
        self._alone = len(pod.memories) == 1
        self._processes: dict[int, FrozenProcess] = {p.vpid: p for p in pod.memories}
        self._opened: Pages | None = None
        self._owned: dict[int, Spans] = {}
        self._index: dict[tuple[int, int], tuple[int, int]] = {}
        self._indexed: dict[int, int] = {}

    def save(self, pages: Pages, pieces: list[Piece], mergeable: bool, saver: Saver) -> list[Run]:
        """Save those pages (of one mapping) that nobody has saved yet; where all of them are."""
        if self._alone and not mergeable:
            return [saver.save(piece) for piece in pieces]
        own: list[Piece] = []
        often: Spans = []
        for start, end, _kind in pieces:
            for piece in pages.shared_or_not(start, end):
                if piece[2] == lib.ZT_RUN_OFTEN:
                    often.append(Span(piece[0], piece[1], 0))
                else:
                    own.append(piece)
        vpid = pages.process.vpid
        others = self._of_ancestors(pages, often)
        left = without(often, _places(others))
        others += self._of_anybody(pages, left)
        left = without(left, _places(others))
        own += [(start, end, lib.ZT_RUN_OFTEN) for start, end, _ in left]
        runs = [saver.save(piece) for piece in sorted(own)]
        if left:
            starts = {span.start for span in left}
            owned = self._owned.setdefault(vpid, [])
            owned += [Span(r.start, r.end, r.offset - r.start) for r in runs if r.start in starts]
        return sorted([*runs, *others])

    def _of_ancestors(self, pages: Pages, often: Spans) -> list[Run]:
        found: list[Run] = []
        for vpid in self._ancestors(pages.process.vpid):
            if not often:
                break
            here = [
                Run(start, end, vpid, start + distance)
                for first, last, _, distance in split(often, self._owned.get(vpid, []))
                if distance is not None
                for start, end, _kind in pages.equal(self._other(vpid), first, last)
            ]
            often = without(often, _places(here))
            found += here
        return sorted(found)

    def _ancestors(self, vpid: int) -> list[int]:
        found: list[int] = []
        while (vpid := self._parent.get(vpid, SUPERVISOR)) != SUPERVISOR:
            if len(found) == _ANCESTORS:
                break
            found.append(vpid)
        return found

    def _of_anybody(self, pages: Pages, left: Spans) -> list[Run]:
        known = {pages.process.vpid, *self._ancestors(pages.process.vpid)}
        others = self._owned.keys() - known
        if not left or not others:
            return []
        for vpid in others:
            self._fill_index(vpid)
        candidates: list[Run] = []
        for start, end, _ in left:
            for i, hash_ in enumerate(pages.hashes(start, end)):
                at = start + i * _PAGE
                if place := self._index.get((at, hash_)):
                    _append(candidates, Run(at, at + _PAGE, *place))
        return [
            Run(start, end, run.owner, run.offset + start - run.start)
            for run in candidates
            for start, end, _kind in pages.equal(self._other(run.owner), run.start, run.end)
        ]

    def _fill_index(self, vpid: int) -> None:
        owned = self._owned[vpid]
        for start, end, distance in owned[self._indexed.get(vpid, 0) :]:
            for i, hash_ in enumerate(self._other(vpid).hashes(start, end)):
                at = start + i * _PAGE
                self._index.setdefault((at, hash_), (vpid, at + distance))
        self._indexed[vpid] = len(owned)

    def _other(self, vpid: int) -> Pages:
        """The memory of another process; one at a time is kept open."""
        if self._opened is None or self._opened.process.vpid != vpid:
            self.close()
            self._opened = Pages(self._processes[vpid])
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _places(runs: list[Run]) -> Spans:
    return sorted(Span(run.start, run.end, 0) for run in runs)


def _append(runs: list[Run], run: Run) -> None:
    if runs:
        last = runs[-1]
        follows = last.end == run.start and last.offset + last.end - last.start == run.offset
        if follows and last.owner == run.owner:
            runs[-1] = last._replace(end=run.end)
            return
    runs.append(run)

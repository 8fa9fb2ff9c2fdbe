"""Address spaces: mappings, the pages that hold something, and what the kernel knows of the layout.

The kernel keeps: mappings with their protection, advice, locks, seals, keys and guard pages; pages,
and who shares them by copy-on-write; what attributes.py lists of the address space.
Kinds of mapping here: `anonymous` (private), `file` (private or shared; only pages that differ from
the file travel), `object` (shared memory, files without a path, files that may not be read, mapped
shared or private: their contents travel once, and of each process the pages that it wrote).
Not carried: device memory, files of hugetlbfs, userfaultfd registrations, shadow stacks
(refused); which pages were resident; the name of shared anonymous memory, and of shared huge pages
without a file.

    mappings.py   what a mapping is of          runs.py        lists of addresses
    capture.py    from a frozen pod             restore.py     into a new process
    pages.py      reading pages                 seeds.py       what is shared from birth
    sharing.py    who shares which              objects.py     shared memory
    needs.py      what not every kernel can     generations.py ... and what some children share only
    attributes.py advice, locks, keys, layout   policies.py  where pages are to lie (NUMA)
    segments.py   System V segments attached    places.py    where something may lie for a while
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial

from ...errors import RestoreError
from ...image.writebehind import WriteBehind
from ...linux import outside
from ...linux.native import lib
from ...shapes import NamesLivingOrNone
from ...view.build import Build, BuildProcess, Stage
from ...view.frozen import FrozenPod
from ..common import huge, sameness
from ..common.permission import can_open, may_open, open_anyway
from ..room import Whole
from . import attributes, needs, objects, policies
from .attributes import Attributes
from .capture import Capture
from .generations import Pages
from .mappings import MappedFile, Mapping, Object
from .policies import Policy
from .restore import change, fill, part_of, sow
from .seeds import Seeds
from .verify import verify_memory, verify_objects

NAME = "memory"


@dataclass(frozen=True)
class State:
    """Of one process; the last one has vpid 0 and only files and objects."""

    vpid: NamesLivingOrNone
    mappings: list[Mapping]
    of: Attributes
    policies: list[Policy]
    files: list[MappedFile]
    objects: list[Object]


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("the memory of process", [state.vpid for state in states])
    verify_objects([one for state in states for one in state.objects], whole)
    for state in states:
        verify_memory(state.vpid, state.of, state.mappings, whole)


def capture(pod: FrozenPod) -> list[State]:
    states: list[State] = []
    with WriteBehind() as pipe:
        everything = Capture(pod, pipe)
        try:
            for process in pod.memories:
                mappings = everything.process(process, part_of(process.vpid))
                of, places = attributes.capture(process), policies.capture(pod, process, mappings)
                states.append(State(process.vpid, mappings, of, places, [], []))
            nothing = Attributes({}, b"", 0, [], b"", [])
            return [*states, State(0, [], nothing, [], everything.files(), everything.objects())]
        finally:
            everything.close()


def restore(states: list[State], build: Build) -> None:
    room = _Restore(states, build)
    build.at(Stage.CLAIM, _claim_huge_pages, states, build)
    for state in states:
        build.at(Stage.CLAIM, _claim, state, build)
        build.at(Stage.SHARED, _open_closed, state, build)
    build.at(Stage.SHARED, room.plan)
    for state in states:
        if state.vpid:
            build.at(Stage.MEMORY, room.fill, state)


class _Restore:
    def __init__(self, states: list[State], build: Build) -> None:
        self._states = states
        self._build = build
        self._seeds = Seeds({}, {})

    def plan(self) -> None:
        """Which processes get seeds before they make others, and the objects that nobody inherits."""
        mappings = {state.vpid: state.mappings for state in self._states if state.vpid}
        found = [one for state in self._states for one in state.objects]
        self._seeds = Seeds(mappings, self._build.births, found)
        inherited = self._seeds.inherited()
        for one in found:
            if one.key not in inherited:
                objects.make(one, self._build)
        for vpid in self._seeds.sowers():
            self._build.sow[vpid] = self._sow
            for step, pages in self._seeds.changes(vpid).items():
                self._build.before_birth[step] = partial(self._change, vpid, pages)

    def _sow(self, process: BuildProcess) -> None:
        sow(process.vpid, self._seeds, process, self._build)

    def _change(self, vpid: int, pages: Pages) -> None:
        change(pages, self._build.process(vpid), self._build)

    def fill(self, state: State) -> None:
        process = self._build.process(state.vpid)
        fill(state.mappings, state.of, state.policies, self._seeds, process, self._build)


def _claim(state: State, build: Build) -> None:
    start, end = lib.zt_stub_start(), lib.zt_stub_end()
    if lacking := needs.missing(state.mappings):
        found, do = "a kernel, or a processor, without it", "restore on a host that has it"
        raise _cannot(state, *lacking, found, do)
    for m in state.mappings:
        if m.start < end and start < m.end:
            raise _cannot(state, m, "its place free", "the stub region of this zaptrace lies there")
        if m.kind == "file" and not may_open(m.path, m.open_mode):
            here = _exists(m.path)
            found = "Permission denied" if here else "No such file or directory"
            raise _cannot(state, m, f"the file {os.fsdecode(m.path)}", found)
    for file in state.files:
        if file.path not in build.allow_changed:
            _claim_file(file)


def _claim_huge_pages(states: list[State], build: Build) -> None:
    private, shared = Counter[int](), dict[Hashable, tuple[int, int]]()
    for m in (m for state in states for m in state.mappings if m.huge):
        if m.kind == "anonymous":
            private[m.huge] += m.end - m.start
        else:
            _, size = shared.get(m.object, (0, 0))
            shared[m.object] = m.huge, max(size, m.offset + m.end - m.start)
    for page, size in shared.values():
        private[page] += size
    huge.claim(private, build)


def _exists(path: bytes) -> bool:
    try:
        outside.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        pass
    return True


def _claim_file(file: MappedFile) -> None:
    path = os.fsdecode(file.path)
    try:
        found = sameness.difference(file.print, file.path)
    except OSError as error:
        found = error.strerror or str(error)
    if found is not None:
        raise RestoreError(
            f"cannot restore a mapping of {path}",
            stage=Stage.CLAIM.name,
            resource=NAME,
            needed="the same file, or one whose contents begin with the old ones",
            found=found,
            do="install the same files at the same paths on this host, or, if it holds data that may "
            f"be other data, restore with --allow-changed {path}",
            changed="nothing",
        )


def _open_closed(state: State, build: Build) -> None:
    """Files that a process could not open by itself, because of their mode."""
    for m in state.mappings:
        if m.kind != "file" or can_open(m.path, m.open_mode):
            continue
        if not build.has_inode(m.device, m.inode):
            fd = open_anyway(m.path, m.open_mode | os.O_CLOEXEC, rehearsal=build.rehearsal)
            build.provide_inode(m.device, m.inode, fd)


_SAME_FILES = "install the same files at the same paths on this host"


def _cannot(
    state: State, m: Mapping, needed: str, found: str, do: str = _SAME_FILES
) -> RestoreError:
    return RestoreError(
        f"cannot restore process {state.vpid}: its memory at {m.start:#x}",
        stage="CLAIM",
        resource=NAME,
        vpid=state.vpid,
        needed=needed,
        found=found,
        do=do,
        changed="nothing",
    )

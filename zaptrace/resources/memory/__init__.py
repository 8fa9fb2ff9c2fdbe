"""Address spaces: mappings, the pages that hold something, and what the kernel knows of the layout.

The kernel keeps: mappings with their protection, advice, locks, seals, keys and guard pages; pages,
and who shares them by copy-on-write; what attributes.py lists of the address space.
Kinds of mapping here: `anonymous` (private), `file` (private or shared; only pages that differ from
the file travel), `object` (shared memory, files without a path, files that may not be read, mapped
shared or private: their contents travel once, and of each process the pages that it wrote).
Not carried: device memory, huge-page files, AIO rings, userfaultfd registrations, shadow stacks
(refused); which pages were resident; the name of shared anonymous memory; memory policies (NUMA).

    mappings.py   what a mapping is of          runs.py        lists of addresses
    capture.py    from a frozen pod             restore.py     into a new process
    pages.py      reading pages                 seeds.py       what is shared from birth
    sharing.py    who shares which              objects.py     shared memory
    attributes.py advice, locks, keys, layout

No C half: addresses are the process's own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ...errors import RestoreError
from ...image.writebehind import WriteBehind
from ...linux.native import lib
from ...view.build import Build, BuildProcess, Stage
from ...view.frozen import FrozenPod
from . import attributes, objects
from .attributes import Attributes
from .capture import Capture
from .mappings import Mapping, Object
from .restore import fill, part_of, sow
from .seeds import Seeds

NAME = "memory"


@dataclass(frozen=True)
class State:
    """Of one process; the last one has vpid 0 and only objects."""

    vpid: int
    mappings: list[Mapping]
    of: Attributes
    objects: list[Object]


def capture(pod: FrozenPod) -> list[State]:
    states: list[State] = []
    with WriteBehind() as pipe:
        everything = Capture(pod, pipe)
        try:
            for process in pod.memories:
                mappings = everything.process(process, part_of(process.vpid))
                states.append(State(process.vpid, mappings, attributes.capture(process), []))
            nothing = Attributes({}, b"", 0, [], b"")
            return [*states, State(0, [], nothing, everything.objects())]
        finally:
            everything.close()


def restore(states: list[State], build: Build) -> None:
    room = _Restore(states, build)
    for state in states:
        build.at(Stage.CLAIM, _claim, state)
        for object_ in state.objects:
            build.at(Stage.SHARED, objects.make, object_, build)
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
        """Which processes get seeds before they make others."""
        mappings = {state.vpid: state.mappings for state in self._states if state.vpid}
        self._seeds = Seeds(mappings, self._build.makers)
        for vpid in self._seeds.sowers():
            self._build.sow[vpid] = self._sow

    def _sow(self, process: BuildProcess) -> None:
        sow(process.vpid, self._seeds, process, self._build)

    def fill(self, state: State) -> None:
        process = self._build.process(state.vpid)
        memory = self._seeds.grown(state.vpid)
        fill(state.mappings, state.of, memory, process, self._build)


def _claim(state: State) -> None:
    start, end = lib.zt_stub_start(), lib.zt_stub_end()
    for m in state.mappings:
        if m.start < end and start < m.end:
            raise _cannot(state, m, "its place free", "the stub region of this zaptrace lies there")
        if m.kind == "file":
            _claim_file(state, m)


def _claim_file(state: State, m: Mapping) -> None:
    try:
        here = os.stat(m.path)
    except OSError as error:
        raise _cannot(state, m, f"the file {m.path}", error.strerror or "") from None
    if m.shared and m.may_write:
        return  # data, as open files are; the program's own business
    if here.st_size != m.size:
        found = f"another file there (size {here.st_size}, was {m.size})"
        raise _cannot(state, m, f"the same file {m.path}", found)


def _cannot(state: State, m: Mapping, needed: str, found: str) -> RestoreError:
    return RestoreError(
        f"cannot restore process {state.vpid}: its memory at {m.start:#x}",
        stage="CLAIM",
        resource=NAME,
        vpid=state.vpid,
        needed=needed,
        found=found,
        do="install the same files at the same paths on this host",
        changed="nothing",
    )

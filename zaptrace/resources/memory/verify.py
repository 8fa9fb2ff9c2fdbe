"""What mappings and objects of an image have to be to each other, and to its parts."""

from __future__ import annotations

from ...linux.addresses import HIGHEST
from ..room import Whole, bad
from .attributes import KEPT, Attributes
from .mappings import PAGE, Mapping, Object
from .restore import part_of
from .runs import unpack, unpack_pairs


def verify_objects(objects: list[Object], whole: Whole) -> None:
    whole.give_once("shared object", [one.key for one in objects])
    for one in objects:
        if one.huge and one.size % one.huge:
            raise bad("a shared object has a part of a huge page", found=f"{one.size} bytes")
        for run in unpack(one.runs, 0, one.size):
            whole.refuse_beyond(one.part, run.offset + run.end - run.start)


def verify_memory(vpid: int, of: Attributes, mappings: list[Mapping], whole: Whole) -> None:
    """Process 0 is none: it has files and objects, and nothing else; every other has a layout."""
    if bool(vpid) != bool(of.layout) or (mappings and not vpid):
        raise bad(f"process {vpid} has no memory, or no process has some")
    for undone in of.vdso:
        if not undone.start < undone.end or (undone.start | undone.end) % PAGE:
            raise bad(f"a part of the vDSO of process {vpid} is none")
    at = 0
    for m in mappings:
        if m.start < at:
            raise bad(f"mappings of process {vpid} overlap at {m.start:#x}", "an order")
        at = m.end
        _verify_mapping(m, whole)


def _verify_mapping(m: Mapping, whole: Whole) -> None:
    place = f"the mapping at {m.start:#x}"
    if not m.start < m.end <= HIGHEST or (m.start | m.end | m.offset) % PAGE:
        raise bad(f"{place} is no range of pages", found=f"{m.start:#x} to {m.end:#x}")
    if m.huge and (m.start | m.end | m.offset) % m.huge:
        raise bad(f"{place} has a part of a huge page", found=f"{m.start:#x} to {m.end:#x}")
    if m.offset + m.end - m.start >= 1 << 63:
        raise bad(f"{place} goes beyond the end of any file", found=str(m.offset))
    if unknown := set(m.flags.split()) - KEPT:
        raise bad(f"{place} has a flag that none has", found=repr(min(unknown)))
    if m.kind == "file" and not m.path.startswith(b"/"):
        raise bad(f"{place} is of a file without a path")
    if m.kind == "object":
        whole.name("shared object", m.object)
    if m.kind == "segment":
        whole.name("segment", m.inode)
    if m.runs and m.shared:
        raise bad(f"{place} is shared, and has pages of its own")
    for run in unpack(m.runs, m.start, m.end):
        if (run.start | run.end | run.offset) % PAGE:
            raise bad(f"{place} has a part of a page of its own")
        whole.refuse_beyond(part_of(run.owner), run.offset + run.end - run.start)
    for start, end in unpack_pairs(m.guards, m.start, m.end):
        if (start | end) % PAGE:
            raise bad(f"{place} has a part of a guard page")

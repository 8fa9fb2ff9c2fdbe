"""The memory room: lists of runs, what is shared from birth, segments; and figures from outside."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.flavours import started
from harness.runs import PodRun
from harness.world import PROGRAMS, compiled
from zaptrace.errors import BadImage, UnsupportedResource
from zaptrace.linux import procfs
from zaptrace.resources.memory import objects, runs
from zaptrace.resources.memory.attributes import _user_desc
from zaptrace.resources.memory.generations import Bytes, Wanted, generations
from zaptrace.resources.memory.mappings import Mapping, Object
from zaptrace.resources.memory.runs import Run, Span
from zaptrace.resources.memory.seeds import Seeds
from zaptrace.view.build import Birth

PAGE = 4096


def test_runs_come_back_as_they_were() -> None:
    some = [Run(0, 4096, 7, 0), Run(8192, 1 << 40, 9, 1 << 41)]
    assert runs.unpack(runs.pack(some), 0, 1 << 40) == some
    assert runs.unpack_pairs(runs.pack_pairs([(1, 2), (2, 9)]), 0, 9) == [(1, 2), (2, 9)]


@pytest.mark.parametrize(
    "bad",
    [
        runs.pack([Run(0, 4096, 1, 0)])[:-1],
        runs.pack([Run(4096, 8192, 1, 0), Run(0, 4096, 1, 0)]),
        runs.pack([Run(0, 8192, 1, 0), Run(4096, 12288, 1, 0)]),
        runs.pack([Run(4096, 4096, 1, 0)]),
        runs.pack([Run(0, 1 << 20, 1, 0)]),
    ],
    ids=["cut short", "out of order", "overlapping", "empty", "outside"],
)
def test_bad_runs_are_refused(bad: bytes) -> None:
    with pytest.raises(BadImage):
        runs.unpack(bad, 0, 1 << 19)


def test_split_against_another_list() -> None:
    one = [Span(0, 10, "a"), Span(20, 30, "b"), Span(30, 40, "c")]
    other = [Span(5, 25, 1), Span(28, 29, 2), Span(39, 50, 3)]
    assert list(runs.split(one, other)) == [
        (0, 5, "a", None),
        (5, 10, "a", 1),
        (20, 25, "b", 1),
        (25, 28, "b", None),
        (28, 29, "b", 2),
        (29, 30, "b", None),
        (30, 39, "c", None),
        (39, 40, "c", 3),
    ]
    assert runs.without(one, other) == [
        Span(0, 5, "a"),
        Span(25, 28, "b"),
        Span(29, 30, "b"),
        Span(30, 39, "c"),
    ]
    assert runs.within(one, 9, 21) == one[:2]
    assert runs.within(one, 10, 20) == []
    assert runs.overlaid([Span(0, 9, 1)], [Span(3, 5, 2)]) == [
        Span(0, 3, 1),
        Span(3, 5, 2),
        Span(5, 9, 1),
    ]


def mapping(start: int, end: int, own: list[Run], **fields: Any) -> Mapping:
    plain: dict[str, Any] = {
        "protection": 3, "kind": "anonymous", "shared": False, "path": b"", "offset": 0, "device": 0,
        "inode": 0, "flags": "ac", "key": 0, "name": "", "guards": b"",
    }  # fmt: skip
    return Mapping(**{**plain, "start": start, "end": end, "runs": runs.pack(own), **fields})


def born(makers: dict[int, int]) -> dict[int, Birth]:
    """In this order."""
    return {child: Birth(maker, step) for step, (child, maker) in enumerate(makers.items())}


def test_a_child_is_born_with_what_it_shares() -> None:
    parent = mapping(0, 100, [Run(0, 50, 1, 0), Run(60, 70, 1, 50)])
    child = mapping(0, 120, [Run(0, 40, 1, 0), Run(40, 50, 2, 0)])
    seeds = Seeds({1: [parent], 2: [child]}, born({2: 1}))
    assert seeds.sowers() == {1}
    assert seeds.born(1).regions == [] and seeds.grown(2) == seeds.born(2) == seeds.grown(1)
    assert [span[:2] for span in seeds.born(2).regions] == [(0, 120)]
    assert seeds.born(2).pages == [Span(0, 40, Bytes(1, 0))]  # and no more: it would be copied


def test_what_the_parent_has_written_since_is_still_shared_by_its_children() -> None:
    parent = mapping(0, 100, [Run(0, 100, 1, 0)])
    first = mapping(0, 100, [Run(0, 10, 2, 0), Run(10, 100, 1, 10)])
    second = mapping(0, 100, [Run(0, 10, 2, 0), Run(10, 100, 1, 10)])
    seeds = Seeds({1: [parent], 2: [first], 3: [second]}, born({2: 1, 3: 1}))
    assert seeds.sowers() == {1}
    assert seeds.grown(1).pages == [Span(0, 10, Bytes(2, 0)), Span(10, 100, Bytes(1, 0))]


def test_where_two_want_one_place_each_is_there_in_its_time() -> None:
    parent = mapping(0, 100, [Run(0, 10, 1, 0)])
    children = {n: [mapping(0, 100, [Run(0, 10, n - n % 2, 0)])] for n in (2, 3, 4, 5)}
    children[6] = [mapping(0, 100, [Run(0, 10, 1, 0)])]
    seeds = Seeds({1: [parent], **children}, born({n: 1 for n in children}))
    assert seeds.seeded(1).pages == [Span(0, 10, Bytes(2, 0))]
    assert seeds.changes(1) == {2: [Span(0, 10, Bytes(4, 0))], 4: [Span(0, 10, Bytes(1, 0))]}
    assert [seeds.born(n).pages[0].what.owner for n in children] == [2, 2, 4, 4, 1]
    assert seeds.grown(1).pages == [Span(0, 10, Bytes(1, 0))]


places = st.tuples(st.integers(0, 12), st.integers(1, 6), st.integers(1, 3), st.integers(0, 5))


@given(st.lists(places, max_size=12))
def test_each_birth_finds_what_it_wants(made: list[tuple[int, int, int, int]]) -> None:
    wanted = [Wanted(at, at + size, Bytes(owner, 0), step) for at, size, owner, step in made]
    pages, changes = generations(wanted)
    now = {at: of for start, end, of in pages for at in range(start, end)}
    for step in range(6):
        now |= {at: of for start, end, of in changes.get(step, []) for at in range(start, end)}
        of_birth = [one for one in wanted if one.step == step]
        for at in {at for one in of_birth for at in range(one.start, one.end)}:
            assert now[at] in {one.of for one in of_birth if one.start <= at < one.end}
    if not any(one.of != other.of for one in wanted for other in wanted):
        assert not changes


def test_a_grandchild_shares_with_its_uncle_through_both_parents() -> None:
    with_nothing = [mapping(0, 100, [])]
    first, second = [mapping(0, 10, [Run(0, 10, 3, 0)])], [mapping(0, 10, [Run(0, 10, 3, 0)])]
    seeds = Seeds({1: with_nothing, 2: with_nothing, 3: first, 4: second}, born({2: 1, 3: 2, 4: 1}))
    assert seeds.sowers() == {1}
    assert seeds.born(3).pages == seeds.born(4).pages == [Span(0, 10, Bytes(3, 0))]


@pytest.mark.parametrize(
    "other", [{"flags": "ac nr"}, {"kind": "file", "path": b"/lib"}], ids=["reserved", "a file"]
)
def test_unlike_mappings_are_not_one(other: dict[str, Any]) -> None:
    parent = mapping(0, 100, [Run(0, 50, 1, 0)])
    child = mapping(0, 100, [Run(0, 50, 1, 0)], **other)
    assert Seeds({1: [parent], 2: [child]}, born({2: 1})).sowers() == set()
    assert Seeds({1: [parent], 2: [parent]}, {}).sowers() == set()  # nobody's maker


def test_shared_memory_is_inherited_from_whom_all_its_users_descend_from() -> None:
    there = [mapping(1 << 40, (1 << 40) + PAGE, [], kind="object", shared=True, inode=5)]
    elsewhere = [mapping(1 << 33, 1 << 39, [], kind="object", shared=True, inode=5)]
    object_ = Object(
        0, 5, path=b"", name="", anonymous=True, code=False, size=1 << 38, part="object", runs=b""
    )
    seeds = Seeds({1: [], 2: there, 3: [], 4: elsewhere}, born({2: 1, 3: 1, 4: 3}), [object_])
    assert seeds.sowers() == {1} and seeds.inherited() == {(0, 5)}
    (whole,) = seeds.born(4).wholes.values()
    assert seeds.born(1).wholes == {} and seeds.born(2).wholes == seeds.born(4).wholes
    for m in (*there, *elsewhere):
        assert whole.end <= m.start or m.end <= whole.start
    strangers = Seeds({1: there, 2: elsewhere}, {}, [object_])
    assert strangers.sowers() == set() and strangers.inherited() == set()


class _Shown:
    """Pages of a process, of which those in `readable` can be read."""

    def __init__(self, readable: set[int]) -> None:
        self._readable = readable

    def readable(self, address: int) -> bool:
        return address // PAGE in self._readable


def _end_as_seen(
    readable: set[int], own: list[tuple[int, int]], guards: list[tuple[int, int]]
) -> Any:
    """Of an object, of which sixteen pages from the fourth on are mapped at address 0."""
    m = procfs.Map(0, 16 * PAGE, "rw-p", 4 * PAGE, 1, 5, "/memfd:x (deleted)", frozenset())
    process: Any = SimpleNamespace(vpid=7, comm="it")
    pages: Any = _Shown(readable)
    return objects._Look(objects.User(process, m, own, guards), pages, sparse=False)


@pytest.mark.parametrize("end", [0, 1, 7, 15, 16])
def test_the_end_of_an_object_is_where_nothing_more_can_be_read(end: int) -> None:
    look = _end_as_seen(set(range(end)), [], [])
    assert look.end == ((4 + end) * PAGE if end else 0)
    assert look.resident == ([Span(4 * PAGE, (4 + end) * PAGE, True)] if end else [])


def test_behind_a_page_of_its_own_is_no_end() -> None:
    look = _end_as_seen({0, 1, 2, 4, 5, 6, 8}, [(3 * PAGE, 4 * PAGE)], [(7 * PAGE, 8 * PAGE)])
    assert look.end == 13 * PAGE
    assert look.resident == [
        Span(4 * PAGE, 7 * PAGE, True),
        Span(8 * PAGE, 11 * PAGE, True),
        Span(12 * PAGE, 13 * PAGE, True),
    ]


def test_a_page_that_cannot_be_read_is_no_end_when_there_is_more_behind_it() -> None:
    with pytest.raises(UnsupportedResource, match="cannot be read"):
        _end_as_seen({0, 1, 2, 3, 4, 5, 6, 12}, [], [])


def test_ten_thousand_generations() -> None:
    shared = [mapping(0, 100, [Run(0, 50, 1, 0)])]
    count = 10_000
    seeds = Seeds({n: shared for n in (1, count)}, born({n: n - 1 for n in range(2, count + 1)}))
    assert seeds.born(count).pages == [Span(0, 50, Bytes(1, 0))]


def test_a_segment_as_the_call_wants_it() -> None:
    """As the processor has it, by the manual's figure of a descriptor."""
    code = struct.pack("<II", 0x5678FFFF, 0x12CFFA34)  # base 0x12345678, limit 0xFFFFF, 4 KiB units
    assert struct.unpack("<IIII", _user_desc(5, code)) == (
        5,
        0x12345678,
        0xFFFFF,
        1 | 2 << 1 | 0 << 3 | 1 << 4,
    )
    assert _user_desc(5, bytes(8)) == b""


def _shares(run: PodRun) -> int:
    """KiB that the processes of a pod have together, each page by its share."""
    found = 0
    for process in run.processes():
        lines = Path(f"/proc/{process['rpid']}/smaps_rollup").read_text().splitlines()
        found += next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))
    return found


@pytest.mark.tracer
def test_relatives_take_as_much_memory_as_before(place: Path) -> None:
    """Before a checkpoint, after it, and restored; a process of its own looks, not the program."""
    allowed = 4096  # KiB, of which each process has its own since it ran again
    with started("restore", [compiled(PROGRAMS / "cow_relatives.c")], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        before = _shares(it)
        assert before > 16384
        for then in ("resume", "stop"):
            it.checkpoint(then, compare=False)
            if then == "stop":
                it.restore(compare=False)
            assert _shares(it) < before + allowed
        it.go()
        assert "PASS" in it.finish().output

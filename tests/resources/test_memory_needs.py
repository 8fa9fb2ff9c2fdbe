"""What mappings need of a host that lacks it is named before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from zaptrace.errors import RestoreError
from zaptrace.linux import addresses
from zaptrace.linux.addresses import HIGHEST, TASK_SIZE
from zaptrace.resources import memory
from zaptrace.resources.common import huge
from zaptrace.resources.memory import needs
from zaptrace.resources.memory.attributes import Attributes
from zaptrace.resources.memory.mappings import PAGE, Mapping
from zaptrace.resources.memory.runs import pack_pairs
from zaptrace.view.build import Build


def mapping(start: int = 1 << 32, flags: str = "", guards: bytes = b"") -> Mapping:
    return Mapping(
        start, start + PAGE, 3, "anonymous", False, b"", 0, 0, 0, flags, 0, "", guards, b""
    )


def refused(m: Mapping) -> RestoreError:
    nothing = Attributes({}, b"", 0, [], b"", [])
    with pytest.raises(RestoreError) as refusal:
        memory._claim(memory.State(7, [m], nothing, [], [], []), Build.__new__(Build))
    assert refusal.value.changed == "nothing" and refusal.value.stage == "CLAIM"
    return refusal.value


@pytest.mark.parametrize("start", [1 << 48, TASK_SIZE + PAGE, HIGHEST - PAGE])
def test_addresses_beyond_four_levels(start: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addresses, "end", lambda: TASK_SIZE)
    error = refused(mapping(start))
    assert error.needed and "56 bits (page tables of five levels" in error.needed
    assert f"{start:#x}" in str(error)
    assert needs.missing([mapping(TASK_SIZE - PAGE)]) is None


def test_a_host_with_five_levels_has_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addresses, "end", lambda: HIGHEST)
    assert needs.missing([mapping(1 << 48)]) is None


@pytest.mark.parametrize(
    ("probe", "m", "named"),
    [
        (
            "_guards",
            mapping(guards=pack_pairs([(1 << 32, (1 << 32) + PAGE)])),
            "MADV_GUARD_INSTALL",
        ),
        ("_seals", mapping(flags="sl"), "mseal(2)"),
        ("_droppable", mapping(flags="dp"), "MAP_DROPPABLE"),
    ],
)
def test_what_came_with_later_kernels(
    probe: str, m: Mapping, named: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(needs, probe, lambda: False)
    error = refused(m)
    assert error.needed and named in error.needed
    monkeypatch.setattr(needs, probe, lambda: True)
    assert needs.missing([m]) is None


def test_where_addresses_end_is_what_the_kernel_says():
    """A processor with five levels says so, and so does its kernel."""
    with open("/proc/cpuinfo") as file:
        five = " la57 " in file.read().replace("\n", " ")
    assert five or addresses.end() == TASK_SIZE


def huge_state(*mappings: tuple[str, int, int]) -> memory.State:
    """Each: its kind, its offset in the object and how many huge pages it has, all of 2 MiB."""
    page, found = 2 << 20, []
    for at, (kind, first, pages) in enumerate(mappings, start=1):
        start = at << 32
        found.append(
            Mapping(
                start, start + pages * page, 3, kind, kind == "object", b"", first * page, 5, 9, "",
                0, "", b"", b"", page,
            )
        )  # fmt: skip
    return memory.State(7, found, Attributes({}, b"", 0, [], b"", []), [], [], [])


def test_as_many_huge_pages_as_the_pod_has(monkeypatch: pytest.MonkeyPatch):
    """An object counts once, as far as it is mapped; memory of its own is everybody's own."""
    state = huge_state(("anonymous", 0, 3), ("object", 0, 2), ("object", 1, 4))
    build = Build.__new__(Build)
    build.rehearsal = False
    monkeypatch.setattr(huge, "available", lambda page: 8)
    memory._claim_huge_pages([state], build)
    monkeypatch.setattr(huge, "available", lambda page: 7)
    with pytest.raises(RestoreError) as refusal:
        memory._claim_huge_pages([state], build)
    assert refusal.value.needed == "8 free huge pages of 2048 KiB"
    assert refusal.value.found == "7 of them" and refusal.value.changed == "nothing"
    assert "hugepages-2048kB/nr_hugepages" in (refusal.value.do or "")
    build.rehearsal = True  # which has none of them
    memory._claim_huge_pages([state], build)


def test_what_the_pool_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pool = tmp_path / "hugepages-2048kB"
    pool.mkdir()
    monkeypatch.setattr(huge, "_POOLS", tmp_path)

    def tells(free: int, promised: int, more: int, made: int) -> int:
        (pool / "free_hugepages").write_text(f"{free}\n")
        (pool / "resv_hugepages").write_text(f"{promised}\n")
        (pool / "nr_overcommit_hugepages").write_text(f"{more}\n")
        (pool / "surplus_hugepages").write_text(f"{made}\n")
        return huge.available(2 << 20)

    assert tells(9, 4, 0, 0) == 5
    assert tells(9, 4, 3, 1) == 7
    assert tells(9, (1 << 64) - 2, 0, 0) == 9  # as Linux 6.18 does
    assert huge.available(1 << 30) == 0

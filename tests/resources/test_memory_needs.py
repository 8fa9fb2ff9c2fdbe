"""What mappings need of a host that lacks it is named before anything is made."""

from __future__ import annotations

import pytest

from zaptrace.errors import RestoreError
from zaptrace.linux import addresses
from zaptrace.linux.addresses import HIGHEST, TASK_SIZE
from zaptrace.resources import memory
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

"""What a host is, and which pods it suits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zaptrace import shapes
from zaptrace.errors import BadImage, HostError
from zaptrace.linux import host


def test_facts_of_this_host_suit_it():
    facts = host.facts()
    host.check_facts(facts)
    assert host.is_this_one(facts)
    assert not host.is_this_one(replace(facts, boot_id="another"))


def test_a_processor_without_what_the_pod_may_use():
    facts = host.facts()
    with pytest.raises(HostError, match="telepathy"):
        host.check_facts(replace(facts, cpu_features=[*facts.cpu_features, "telepathy"]))


def test_the_words_of_the_kernel_do_not_count():
    """An image of one kernel goes on under another that has fewer words for the same processor."""
    facts = host.facts()
    assert not {"la57", "xtopology"} & set(facts.cpu_features)


@pytest.mark.parametrize("register", ["xcr0.opmask", "xcr0.bndregs"])
def test_registers_that_programs_left_no_room_for(register: str, monkeypatch: pytest.MonkeyPatch):
    """Those of MPX too: kernels enable them still, and a program of a Haswell ended by it elsewhere."""
    facts = host.facts()
    avx = {"xsave", "avx", "xcr0.avx", "xcr0.sse"}
    more = avx | {register, "xsavec"}
    monkeypatch.setattr(host.cpu, "features", lambda: frozenset(more))
    host.check_facts(replace(facts, cpu_features=sorted(avx | {"xsavec"})))
    with pytest.raises(HostError, match=register):
        host.check_facts(replace(facts, cpu_features=sorted(avx)))


@pytest.mark.parametrize("hidden", [True, False])
def test_a_level_leaves_room_where_it_is_all_that_is_seen(
    hidden: bool, monkeypatch: pytest.MonkeyPatch
):
    """Without CPUID faulting libraries have measured the registers of the processor that was there."""
    facts = host.facts(3, faulting=hidden)
    monkeypatch.setattr(host.cpu, "features", lambda: host.cpu.LEVELS[4])
    if hidden:
        host.check_facts(facts)
    else:
        with pytest.raises(HostError, match=r"left no room"):
            host.check_facts(facts)


def test_facts_that_are_none():
    with pytest.raises(BadImage):
        shapes.read(host.Facts, {"machine": "x86_64"})

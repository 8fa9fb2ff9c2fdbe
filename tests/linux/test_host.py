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


def test_registers_that_programs_left_no_room_for(monkeypatch: pytest.MonkeyPatch):
    facts = host.facts()
    avx = {"xsave", "avx", "xcr0.avx", "xcr0.sse"}
    more = avx | {"xcr0.opmask", "xsavec"}
    monkeypatch.setattr(host.cpu, "features", lambda: frozenset(more))
    host.check_facts(replace(facts, cpu_features=sorted(avx | {"xsavec"})))
    with pytest.raises(HostError, match=r"xcr0\.opmask"):
        host.check_facts(replace(facts, cpu_features=sorted(avx)))


def test_facts_that_are_none():
    with pytest.raises(BadImage):
        shapes.read(host.Facts, {"machine": "x86_64"})

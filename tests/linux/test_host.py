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


def test_facts_that_are_none():
    with pytest.raises(BadImage):
        shapes.read(host.Facts, {"machine": "x86_64"})

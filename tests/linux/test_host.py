"""What `zaptrace check` finds out about a host, by trying."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from harness.world import PATIENCE_S, ROOT
from zaptrace import shapes
from zaptrace.errors import BadImage, HostError
from zaptrace.linux import host


@pytest.mark.tracer
@pytest.mark.root_too
def test_this_host_can_do_all():
    """The tests run here, so every ability is there, and the probe has to find it."""
    script = (
        "import json; from dataclasses import asdict; from zaptrace.linux import host;"
        "print(json.dumps([asdict(ability) for ability in host.probe()]))"
    )
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert {"architecture", "tracing", "kcmp"} <= {ability["name"] for ability in found}
    assert [ability for ability in found if not ability["ok"]] == []


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

"""Each call of ours fails once: the pod runs on as if nothing had been tried, or nothing is left.

Here a choice of the calls, another one in every run (ZAPTRACE_TEST_SEED); SABOTAGE=all takes all.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from harness.flavours import started
from harness.runs import PodRun
from harness.world import REAL, SEED, python

CHOSEN = 40


@pytest.fixture
def pod(place: Path):
    (place / "home").mkdir()
    with started("restore", [python(), REAL / "server.py", place / "home"], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        yield it


def choice(made: int, kind: str) -> list[int]:
    if os.environ.get("SABOTAGE") == "all":
        return list(range(1, made + 1))
    return sorted(random.Random(f"{kind}-{SEED}").sample(range(1, made + 1), min(CHOSEN, made)))


def failed(found: dict[str, Any], said: str) -> str:
    return f"seed {SEED}, {said}: {found}"


@pytest.mark.tracer
@pytest.mark.parametrize("kind", ["call", "row"])
def test_checkpoint(kind: str, pod: PodRun):
    pod.ask("sabotaged_checkpoint", kind=kind, at=0)
    whole = pod.ask("sabotaged_checkpoint", kind=kind, at=0)
    assert whole["made"] > CHOSEN and not whole["error"], whole
    for at in choice(whole["made"], kind):
        found = pod.ask("sabotaged_checkpoint", kind=kind, at=at)
        said = failed(found, f"{kind} {at} of a checkpoint")
        assert found["alive"] and not found["frozen"], said
        assert found["image"] != bool(found["error"]), said
        assert found["left"] == (["sabotaged"] if found["image"] else []), said
        assert found["descriptors"] <= whole["descriptors"], said
        assert found["children"] == whole["children"], said
    assert pod.cycle()


@pytest.mark.tracer
@pytest.mark.parametrize("kind", ["call", "row"])
def test_restore(kind: str, pod: PodRun):
    assert pod.checkpoint("stop")
    pod.ask("sabotaged_restore", kind=kind, at=0)
    whole = pod.ask("sabotaged_restore", kind=kind, at=0)
    assert whole["made"] > CHOSEN and not whole["error"], whole
    for at in choice(whole["made"], kind):
        found = pod.ask("sabotaged_restore", kind=kind, at=at)
        said = failed(found, f"{kind} {at} of a restore")
        assert found["descriptors"] <= whole["descriptors"], said
        assert found["children"] == whole["children"] == 0, said
    pod.restore()

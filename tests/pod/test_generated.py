"""Processes that chance has composed of all that is carried come back as they were, or are refused.

ZAPTRACE_GENERATE_MINUTES=60 pytest -s tests/pod/test_generated.py    looks for more, by hand
ZAPTRACE_GENERATE_SCRIPT="fork 0; pipe 1 2; end 3" pytest ...         one script, once more
"""

from __future__ import annotations

import os
import random
import time
from functools import partial

import pytest
from hypothesis import HealthCheck, given, note, settings

from harness import compose
from harness.world import SEED

MINUTES = float(os.environ.get("ZAPTRACE_GENERATE_MINUTES") or 0)
SCRIPT = os.environ.get("ZAPTRACE_GENERATE_SCRIPT", "")
SMALLER_S = 40

ours = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=5,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@ours
@given(compose.scripts)
def test_composed(script: compose.Script):
    try:
        compose.carried(script)
    except compose.Refused as refused:
        note(f"refused: {refused}")


def test_a_refusal_is_told_from_a_failure():
    form = "zaptrace.errors.UnsupportedResource: cannot\n  needed   a\n  found    b\n  do       c\n"
    assert compose.refusal(form + "  changed  nothing; the pod is running again") == "cannot"
    assert not compose.refusal(form + "  changed  it is gone")
    assert not compose.refusal("zaptrace.errors.UnsupportedResource: cannot\n  changed  nothing")
    assert not compose.refusal(form.replace("Unsupported", "") + "  changed  nothing")


def test_a_failing_script_is_cut_down():
    script = ("a", "b", "c", "d", "e", "f", "g")
    until = time.monotonic() + SMALLER_S
    assert compose.smaller(script, lambda it: {"b", "f"} <= set(it), until) == ("b", "f")


@pytest.mark.skipif(not SCRIPT, reason="ZAPTRACE_GENERATE_SCRIPT names none")
def test_one_script():
    script = tuple(step.strip() for step in SCRIPT.split(";") if step.strip())
    assert not (found := compose.fault(script)), found


@pytest.mark.skipif(not MINUTES, reason="ZAPTRACE_GENERATE_MINUTES asks for none")
@pytest.mark.timeout(0)
def test_composed_for_minutes():
    """Goes on after a fault: each kind of it is told once, with the shortest script that has it."""
    end = time.monotonic() + 60 * MINUTES
    found: dict[str, compose.Script] = {}
    tried = 0

    def has(kind: str, script: compose.Script) -> bool:
        return kind in compose.kinds(compose.fault(script) or "carried")

    @settings(ours, derandomize=False, max_examples=1 << 30)
    @given(compose.scripts)
    def look(script: compose.Script) -> None:
        nonlocal tried
        if time.monotonic() > end:
            raise KeyboardInterrupt
        tried += 1
        text = compose.fault(script)
        for kind in sorted(compose.kinds(text) if text else ()):
            if kind not in found:
                shortest = compose.smaller(script, partial(has, kind), time.monotonic() + SMALLER_S)
                found[kind] = shortest
                print(f"\n--- {kind}\n{'; '.join(shortest)}\n{text[:3000]}", flush=True)

    random.seed(SEED)
    try:
        look()
    except KeyboardInterrupt:
        if time.monotonic() < end:
            raise
    assert tried
    assert not found, "\n".join(f"{kind}\n    {'; '.join(it)}" for kind, it in found.items())

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
from hypothesis import HealthCheck, given, settings

from harness import compose
from harness.world import SEED

MINUTES = float(os.environ.get("ZAPTRACE_GENERATE_MINUTES") or 0)
SCRIPT = os.environ.get("ZAPTRACE_GENERATE_SCRIPT", "")
SMALLER_S = 40

CARRIED = (
    "pty 0 0",
    "map 0 3 0 1 7 0; fork 0 0 0; pipe 0 2 100 3 0; end 0 0",
    "fork 2 2 0; end 0 0",
    "fork 5 5 0; end 0 0",
    "listen 4 5 0 3",
    "map 6 5 0 639 123 5",
    "map 6 6 27 179 102 1; seal 2 6 7",
    "fork 6 4 1; pipe 0 5 2292 0 2",
    "fork 7 6 2; end 2 44",
    "fork 7 7 4; pty 1 1; fork 4 5 5; end 2 67; fcntl 2 28 155; pipe 4 4 1247 4 0",
    "map 7 4 39 331 158 5; policy 20 3 7 4",
    "fork 0 0 0; end 0 205; lock 14 0 0 7; seal 7 3 2; advise 15 1 5 1",
    "fork 5 5 3; map 7 6 6 185 23 3",
    "fork 2 7 1; map 6 7 12 494 208 2; fork 2 2 0",
    "signal 5 15 40",
)
"""Scripts that once were not, or show how it is done; those that chance composes are for long runs."""

ours = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("script", CARRIED)
def test_composed(script: str):
    assert not (found := compose.fault(_steps(script))), found


def _steps(script: str) -> compose.Script:
    return tuple(step.strip() for step in script.split(";") if step.strip())


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
    assert not (found := compose.fault(_steps(SCRIPT))), found


@pytest.mark.skipif(not MINUTES, reason="ZAPTRACE_GENERATE_MINUTES asks for none")
@pytest.mark.timeout(0)
def test_composed_for_minutes():
    """Goes on after a fault: each kind of it is told once, with the shortest script that has it."""
    end = time.monotonic() + 60 * MINUTES
    found: dict[str, compose.Script] = {}
    tried = 0

    def has(kind: str, script: compose.Script) -> bool:
        return kind in compose.kinds(compose.fault(script) or "carried")

    @settings(ours, max_examples=1 << 30)
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

"""The supervisor killed at any time takes all of its pod with it: none is left, none runs on."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from harness import world
from harness.flavours import started
from harness.runs import PodRun
from harness.supervisor_death import kill_supervisor
from harness.world import REAL, compiled


def test_while_it_runs(place: Path):
    with started("pod", [compiled(REAL / "many.c"), "processes", "20"], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        kill_supervisor(it)


def test_while_it_is_frozen(place: Path):
    with started("pod", [compiled(REAL / "many.c"), "threads", "20"], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        it.ask("freeze")
        kill_supervisor(it)


def test_while_it_forks(place: Path):
    script = "while :; do (:); (: | :) & done"
    with started("pod", ["/bin/sh", "-c", script], place) as it:
        assert isinstance(it, PodRun)
        it.wait(0.3)
        kill_supervisor(it)


@pytest.mark.parametrize("verb", ["checkpoint", "restore"])
@pytest.mark.parametrize("turn", range(4))
def test_in_the_middle(verb: str, turn: int, place: Path):
    dice = random.Random(f"{world.SEED}-{turn}")
    with started("restore", [compiled(REAL / "many.c"), "processes", "20"], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        if verb == "restore":
            assert it.checkpoint("stop")
        asked = {"checkpoint": {"then": "stop"}, "restore": {}}[verb]
        line = json.dumps({"verb": verb, "compare": False, **asked})
        os.write(it.runner.stdin.fileno(), line.encode() + b"\n")
        time.sleep(dice.uniform(0, 0.25))
        kill_supervisor(it)

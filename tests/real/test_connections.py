"""Servers with clients that stay connected, all in one pod: nobody misses a byte, or an address.

In CI a few moves of some; by hand (ZAPTRACE_TEST_ROUNDS=20, the moves of each) all in every way.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from harness.flavours import MOVING, started
from harness.world import PATIENCE_S, REAL, ROOT, SEED, built, only_one, python, require

BY_HAND = "ZAPTRACE_TEST_ROUNDS" in os.environ
MOVES = int(os.environ.get("ZAPTRACE_TEST_ROUNDS", "4"))
LONGEST_PAUSE_S = 0.5
KINDS = ("redis", "node", "go", "socketserver", "asyncio", "files")
REDIS = ("--port", "PORT", "--save", "", "--appendonly", "no", "--loglevel", "warning")


def server(kind: str) -> list[str | Path]:
    """What talking.py is told; the word PORT is the port's."""
    if kind == "redis":
        return ["redis", require("redis-server"), *REDIS]
    if kind == "node":
        return ["http", require("node", "nodejs"), REAL / "echoing.js", "PORT"]
    if kind == "go":
        return ["http", in_go(), "PORT"]
    if kind == "files":
        require("curl")
        return [kind, python(), "-m", "http.server", "PORT", "--bind", "127.0.0.1"]
    return [kind]


def in_go() -> Path:
    """Built once for all pytest workers."""
    go = require("go", "golang-go")
    with only_one(ROOT / "build" / "programs" / "echoing-go") as target:
        if not target.exists():
            cache = str(target.with_name("go-cache"))
            offline = {"GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
            source = REAL / "echoing.go"
            built(go, "build", "-o", target, source, CGO_ENABLED="0", GOCACHE=cache, **offline)
    return target


IN_CI = [
    *(("redis", flavour) for flavour in MOVING),
    ("node", "restore"),
    ("node", "migrate"),
    ("go", "shifted"),
    ("go", "migrate"),
    ("socketserver", "twice"),
    ("asyncio", "restore"),
    ("files", "shifted"),
]
"""Each server, and each way of moving, but not all of both: they are long."""

TRIED = [(kind, flavour) for kind in KINDS for flavour in MOVING] if BY_HAND else IN_CI


@pytest.mark.timeout(900 if BY_HAND else 180)
@pytest.mark.parametrize(("kind", "flavour"), [tried for tried in TRIED if tried[1] in MOVING])
def test_clients_stay_connected(kind: str, flavour: str, place: Path):
    command = [python(), REAL / "talking.py", *server(kind)]
    dice = random.Random(f"{kind}-{flavour}-{SEED}")
    with started(flavour, command, place, env={"HOME": os.fspath(place)}) as it:
        for _ in range(MOVES):
            assert it.wait(dice.uniform(0, LONGEST_PAUSE_S)) is None, it.failed("it has ended")
            assert it.cycle()
        it.go()
        outcome = it.finish(2 * PATIENCE_S)
        if (outcome.exit, outcome.output) != (0, "3 clients had every answer\n"):
            raise it.failed(f"seed {SEED}: exit {outcome.exit}")

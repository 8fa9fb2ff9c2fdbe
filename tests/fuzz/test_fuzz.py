"""Made-up input of every kind, fed to what reads it: worker.py does it, judge.py says what is wrong.

Some seconds of it here; ZAPTRACE_FUZZ_MINUTES=60 makes it as many minutes for each kind, with new
seeds. A worker that fails says which seed did it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import corpus

from harness.world import SEED, TESTS, make_place, remove, told

MINUTES = float(os.environ.get("ZAPTRACE_FUZZ_MINUTES", "0"))
SECONDS = {
    kind: MINUTES * 60 or few for kind, few in (("image", 20), ("message", 20), ("files", 8))
}
FEWEST = 50


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory):
    found = tmp_path_factory.mktemp("corpus")
    for kind in corpus.KINDS if MINUTES else corpus.KINDS[SEED % 4 :: 4]:
        place = make_place()
        try:
            corpus.make(kind, place, found / kind)
        finally:
            remove(place)
    return found


@pytest.mark.tracer
@pytest.mark.timeout(max(SECONDS.values()) + 400)
@pytest.mark.parametrize("kind", SECONDS)
def test_made_up_input(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    images = tmp_path if kind == "files" else request.getfixturevalue("images")
    command = [sys.executable, str(TESTS / "fuzz" / "worker.py"), kind, str(images), str(home)]
    ran = subprocess.run(
        [*command, str(SEED), str(SECONDS[kind]), str(FEWEST), "1000000000"],
        capture_output=True,
        text=True,
        timeout=SECONDS[kind] + 300,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stderr[-4000:]}\n{ran.stdout[-2000:]}"
    figures = json.loads(ran.stdout.splitlines()[-1])
    told.append(f"fuzz: {figures}")
    assert 0 < figures["refused"] < figures["inputs"]

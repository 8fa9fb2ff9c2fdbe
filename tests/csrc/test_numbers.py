"""The promise about memory, measured as bench/ measures it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from harness.world import ASAN, ROOT

pytestmark = pytest.mark.skipif(ASAN, reason="sanitizers take memory on purpose")


def measured(name: str) -> dict[str, dict]:
    """Lines of one case, by their names, measured in a process of its own."""
    code = (
        "import json, dataclasses, sys; from bench.checkpoint_speed import measure_one;"
        "print(json.dumps([dataclasses.asdict(l) | {'ratio': l.ratio}"
        " for l in measure_one(sys.argv[1])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {line["name"]: line for line in json.loads(done.stdout.splitlines()[-1])}


def test_memory_of_ours_for_a_gibibyte():
    """The times are bench/'s to tell, beside those of cp: machines are noisy, tests are not timed."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.environ.get("TMPDIR", "/tmp")
    free = shutil.disk_usage(base).free >> 30
    if free < 4:
        pytest.skip(f"needs 4 GiB free on {base}; found {free}")
    lines = measured("gib")
    assert lines["checkpoint gib"]["facts"]["image_mib"] > 1024, lines
    assert lines["restore gib"]["facts"]["peak_mib"] < 100, lines

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


CODE = """
import json, sys
from pathlib import Path
from bench.systems.zaptrace import PodInside
from bench.tools import compiled, scratch, wait_for_ready
with scratch() as place:
    load = PodInside(place).start([compiled("load"), "bytes", "1024"])
    try:
        wait_for_ready(load.out)
        Path("/proc/self/clear_refs").write_text("5")
        load.suspend(place / "state")
        load.resume(place / "state")
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
        print(json.dumps([load.size(place / "state") / 2**20, peak / 1024]))
    finally:
        load.close()
"""


def measured() -> tuple[float, float]:
    """MiB of the image, and the most memory of ours since it began; in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    image, peak = json.loads(done.stdout.splitlines()[-1])
    return image, peak


def test_memory_of_ours_for_a_gibibyte():
    """The times are bench/'s to tell, beside those of cp: machines are noisy, tests are not timed."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.environ.get("TMPDIR", "/tmp")
    free = shutil.disk_usage(base).free >> 30
    if free < 4:
        pytest.skip(f"needs 4 GiB free on {base}; found {free}")
    image, peak = measured()
    assert image > 1024
    assert peak < 100

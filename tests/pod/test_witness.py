"""An independent witness: python-ptrace finds the same registers and memory in a restored process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.world import PATIENCE_S, PROGRAMS, ROOT, TESTS, compiled


@pytest.mark.tracer
def test_same_registers_and_memory(place: Path):
    program = compiled(PROGRAMS / "registers.c")
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(TESTS)]))
    ran = subprocess.run(
        [sys.executable, str(TESTS / "harness" / "witness.py"), program, str(place / "image")],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["before"]["registers"]["rbx"] == 0x1111111111111111
    assert seen["before"]["registers"]["r15"] == 0x5555555555555555
    assert seen["after"]["registers"] == seen["before"]["registers"]
    assert len(seen["before"]["words"]) > 50
    assert seen["after"]["words"] == seen["before"]["words"]

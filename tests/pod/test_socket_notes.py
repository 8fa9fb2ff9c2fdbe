"""Notes of sockets that are no more are forgotten: a pod's store does not grow with all it ever bound."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.world import PATIENCE_S, PROGRAMS, ROOT, TESTS, compiled


@pytest.mark.tracer
def test_few_are_kept(place: Path):
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(TESTS)]))
    program = compiled(PROGRAMS / "unix_many_binds.c")
    ran = subprocess.run(
        [sys.executable, str(TESTS / "harness" / "tidied.py"), program, place],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert 2 <= int(ran.stdout) < 600, "of 3000 that were made, of which two are of living sockets"

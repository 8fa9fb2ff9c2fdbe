"""Notes of sockets and nameless files that are no more are forgotten: a store does not grow for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.world import PATIENCE_S, PROGRAMS, ROOT, TESTS, compiled


@pytest.mark.tracer
@pytest.mark.parametrize(
    ("name", "room", "living"),
    [("unix_many_binds", "unix_socket", 2), ("never_named", "regular_file", 3)],
)
def test_few_are_kept(name: str, room: str, living: int, place: Path):
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(TESTS)]))
    program = compiled(PROGRAMS / f"{name}.c")
    ran = subprocess.run(
        [sys.executable, str(TESTS / "harness" / "tidied.py"), program, place, room],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert living <= int(ran.stdout) < 600, "of 1000 or more that were made"

"""examples/: each runs, and does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.supervisors import end_all
from harness.world import ROOT
from zaptrace.supervisor import runtime

EXAMPLES = ROOT / "examples"


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        root = runtime.root(f"{path}/run")
        yield Path(path)
        end_all(root)


def run(home: Path, name: str, *argv: str) -> str:
    env = {**os.environ, "ZAPTRACE_RUNTIME_DIR": f"{home}/run", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *argv],
        cwd=home, env=env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert runtime.pods(f"{home}/run") == [], "none is left behind"
    return done.stdout + done.stderr


@pytest.mark.parametrize("which", ["tqdm", "rich"])
def test_a_bar_is_full_at_the_end(home: Path, which: str):
    pytest.importorskip(which, reason=f"{which} is not installed: pip install 'zaptrace[test]'")
    said = run(home, f"progress_{which}.py", str(home))
    assert f"{home}/{which}.zap: " in said
    assert "100%" in said if which == "rich" else re.search(r"done: 100%", said), said


def test_work_goes_on_from_its_last_image(home: Path):
    for _ in range(60):
        said = run(home, "survive.py", str(home))
        if said.startswith("done"):
            break
        assert said.startswith("saved: ")
    assert said == "done: 820, exit status 0\n"
    assert list(home.glob("*.zap"))


def test_the_first_answer_stops_the_others(home: Path):
    assert run(home, "many.py") == "found 1\nleft: []\n"


def test_its_page_tells_of_each():
    told = re.findall(r"^\| `(\S+)` \|", (EXAMPLES / "README.md").read_text(), re.M)
    assert sorted(told) == sorted(path.name for path in EXAMPLES.glob("*.py"))

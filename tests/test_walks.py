"""docs/walks: whoever types what stands there sees what stands there."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import walk
from harness.hosts import free_port
from harness.supervisors import end_all
from harness.world import ROOT
from zaptrace.supervisor import runtime

WALKS = sorted((ROOT / "docs" / "walks").glob("*.md"))


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        runtime.root(f"{path}/run")
        yield Path(path)
        end_all(Path(path, "run"))


@pytest.mark.parametrize("page", [w for w in WALKS if w.stem != "index"], ids=lambda w: w.stem)
def test_a_walk(page: Path, place: Path):
    text = page.read_text(encoding="utf-8")
    for port in set(re.findall(r"\b180\d\d\b", text)):
        text = text.replace(port, str(free_port()))
    for name, program in re.findall(r"^```python\n# (\S+)\n(.*?)^```", text, re.M | re.S):
        (place / name).write_text(program)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "HOME": str(place), "ZAPTRACE_RUNTIME_DIR": f"{place}/run"}
    env["PYTHONPATH"] = str(ROOT)
    walked = 0
    for step, seen in walk.walk(text, place, env):
        wanted = [line for line in step.seen if line.strip()]
        assert walk.matches(wanted, [line for line in seen if line.strip()]), (step, seen)
        walked += 1
    assert walked > 5 and len(walk.steps(text)) == walked


def test_the_page_of_walks_names_each():
    index = (ROOT / "docs" / "walks" / "index.md").read_text(encoding="utf-8")
    named = re.findall(r"\((\w+)\.md\)", index)
    assert sorted(named) == sorted(page.stem for page in WALKS if page.stem != "index")


def test_a_screen_that_is_another_is_seen():
    assert walk.matches(["a  1.5 ms", "…", "b …"], ["a 23 s", "x", "y", "b it"])
    assert walk.matches(["…"], [])
    assert not walk.matches(["a"], ["b"])
    assert not walk.matches(["a", "…", "b"], ["a", "x"])
    assert not walk.matches([], ["a"])

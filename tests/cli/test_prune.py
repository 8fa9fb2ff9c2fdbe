"""What is left of pods that ended is removed, and images of a job that are too many."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.shell import Shell
from zaptrace.image.series import Series
from zaptrace.image.sink import DirectorySink
from zaptrace.supervisor import runtime

MANIFEST = {"created": 1.0, "host": {}, "pod": {"name": "job"}}


def test_of_pods(zaptrace: Shell) -> None:
    for name in ("one", "two"):
        assert zaptrace("run", "-d", "--name", name, "--", "echo", name).returncode == 0
        assert zaptrace("wait", name).returncode == 0
    assert zaptrace("run", "-d", "--name", "two", "--", "sleep", "600").returncode == 0
    record = zaptrace.root / ".ended" / "one.json"
    assert zaptrace("prune", "--older-than", "1h").stdout == ""
    record.write_text(json.dumps(json.loads(record.read_text()) | {"written": 1.0}))
    assert zaptrace("prune", "--older-than", "1h", "-n").stdout == "would remove one\n"
    assert zaptrace("prune", "--older-than", "1h").stdout == "removed one\n"
    assert zaptrace("logs", "one").returncode == 3
    assert json.loads(zaptrace("prune", "--json").stdout) == {"removed": ["two"], "dry_run": False}
    assert os.listdir(record.parent) == []
    assert runtime.pods(zaptrace.root) == ["two"]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    for number in range(1, 6):
        with DirectorySink(Series(str(tmp_path)).image(number)) as sink:
            sink.commit(MANIFEST)
    (tmp_path / "000005.zap" / "manifest").write_bytes(b"damaged")
    (tmp_path / "mine").mkdir()
    return tmp_path


def test_of_a_job(zaptrace: Shell, job: Path) -> None:
    """The newest is damaged, so it is none of the two that are kept."""
    done = zaptrace("prune", "--images", str(job), "--keep", "2")
    assert done.returncode == 0, done.stderr
    left = {path.name for path in job.iterdir()} - {"lock"}
    assert left == {"000003.zap", "000004.zap", "000005.zap", "mine"}
    assert zaptrace("prune", "--images", str(job), "--keep", "3").stdout == ""
    assert zaptrace("prune", "--keep", "3").returncode == 2


def test_a_job_that_runs_keeps_its_images(zaptrace: Shell, job: Path) -> None:
    held = Series(str(job))
    held.hold("job")
    try:
        done = zaptrace("prune", "--images", str(job), "--keep", "1")
    finally:
        held.let_go()
    assert (done.returncode, "runs already" in done.stderr) == (1, True)
    assert len(held.numbers()) == 5

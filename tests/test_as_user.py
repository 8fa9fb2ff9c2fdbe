"""What root's `make test` goes through: another user, an environment built once, what failures leave."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness.world import ROOT

pytestmark = [
    pytest.mark.root_too,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else"),
]


def as_user(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "as_user.sh", "sh", "-c", script],
        capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip


def test_the_environment_is_built_once():
    """And works in another place than it was built in: the first is taken while the second runs."""
    script = ".venv/bin/zaptrace --version && grep -c zap-61 .venv/bin/zaptrace && pwd"
    assert as_user("true").returncode == 0
    place = Path("/tmp/zap-61300")
    ours = not place.exists()
    if ours:
        place.mkdir()
    try:
        done = as_user(script)
    finally:
        if ours:
            place.rmdir()
    assert done.returncode == 0, done.stderr
    assert "building" not in done.stdout + done.stderr
    where = done.stdout.split()[-1]
    assert where.startswith("/tmp/zap-61")
    assert where != "/tmp/zap-61300/tree"


def test_it_is_nobody_in_particular():
    status = as_user("id -u; id -G; grep -E 'Cap|NoNewPrivs' /proc/self/status").stdout.split()
    assert int(status[0]) >= 61300
    assert status[1] == status[0]
    assert set(status[3:-2:2]) == {"0000000000000000"}
    assert status[-1] == "1"


def test_what_failures_leave_survives():
    done = as_user("echo trace >$ZAPTRACE_TEST_KEEP/left; exit 3")
    assert done.returncode == 3
    kept = Path(re.findall(r"what failed tests left is in (\S+)", done.stderr)[0])
    try:
        assert (kept / "left").read_text() == "trace\n"
        assert kept.stat().st_uid == 0
    finally:
        shutil.rmtree(kept)
    assert "failed tests" not in as_user("true").stderr


def test_processes_that_stay_are_a_failure():
    done = as_user("setsid sleep 321 >/dev/null 2>&1 & exit 0")
    assert done.returncode == 1
    assert "sleep 321" in done.stderr


def test_what_is_kept_is_kept_also_when_it_is_interrupted():
    kept = ROOT / "build" / f"kept-{os.getpid()}"
    script = f"mkdir -p build; echo half >build/{kept.name}; echo there; cat"
    with subprocess.Popen(
        [ROOT / "scripts" / "as_user.sh", "sh", "-c", script],
        env={**os.environ, "KEEP": f"build/{kept.name}"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as run:  # fmt: skip
        try:
            assert run.stdin and run.stdout and run.stdout.readline() == "there\n"
            run.send_signal(signal.SIGINT)
            run.stdin.close()
            assert run.wait(170) == 130
            assert kept.read_text() == "half\n"
        finally:
            run.kill()
            kept.unlink(missing_ok=True)

"""A measurement is of what it says, or there is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import common, freeze_time, trap_cost
from harness.world import ROOT, reap


def bench(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("module", ["bench", "bench.checkpoint_speed"])
def test_a_misspelt_name_runs_nothing(module: str):
    done = bench(module, "smal", "trap_costs")
    assert done.returncode == 1
    assert "nothing is called smal, trap_costs; there are" in done.stderr
    assert done.stdout == ""


def test_names_are_taken_in_their_order():
    assert common.asked(["b"], ["a", "b"]) == ["b"]
    assert common.asked([], ["a", "b"]) == ["a", "b"]


def test_a_limit_that_struck_is_said(place: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(common.Late, match=r"ready in .*out did not come about in 0 s"):
        (place / "out").touch()
        common.wait_for_ready(place / "out", 0.0)
    monkeypatch.setattr(trap_cost, "PATIENCE_S", 0)
    with pytest.raises(common.Late, match="in a pod did not come in 0 s"):
        trap_cost.in_pod(["/bin/sleep", "100"], place)
    with pytest.raises(common.Late, match="sleep 100 did not come in 0 s"):
        trap_cost.natively(["/bin/sleep", "100"])


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_a_stopped_rival_is_looked_at_as_a_whole():
    """Grandchildren and threads count: it is stopped when the last of them is."""
    script = (
        "import subprocess, threading, time\n"
        "for n in range(3): threading.Thread(target=time.sleep, args=[99], daemon=True).start()\n"
        "subprocess.run(['/bin/sh', '-c', '(/bin/sh -c \"echo ready; sleep 99; :\"; :); :'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as rival:
        try:
            assert rival.stdout and rival.stdout.readline() == "ready\n"
            common.until(
                lambda: "sleep" in map(comm, freeze_time.tree(rival.pid)), "it", pause=0.01
            )
            pids = freeze_time.tree(rival.pid)
            assert len(pids) >= 4
            freeze_time.stop_plainly(rival.pid, pids)
            assert freeze_time.states(pids) == ["T"] * (len(pids) + 3)
            os.kill(pids[-1], signal.SIGCONT)
            common.until(
                lambda: set(freeze_time.states(pids)) == {"T", "S"}, "one that runs", pause=0.01
            )
        finally:
            os.killpg(rival.pid, signal.SIGKILL)
    reap()

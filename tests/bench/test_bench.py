"""A measurement is of what it says, or there is none; all of it works, in its short mode."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import asroot, samples
from bench.found import experiments, systems
from bench.system import LateError, RefusedError
from bench.systems import native
from bench.systems.zaptrace import PodInside
from bench.tools import until, wait_for_ready
from harness.world import ROOT, reap


def bench(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *argv], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip


def test_a_misspelt_name_runs_nothing():
    for argv, what in ((["smal"], "experiment"), (["start", "--systems", "smal"], "system")):
        done = bench(*argv)
        assert done.returncode == 1
        assert f"no {what} is called smal; there are" in done.stderr
        assert done.stdout == ""


def test_help_names_what_there_is():
    told = bench("--help").stdout
    assert all(name in told for name in (*systems(), *experiments()))


USUAL = [name for name, system in systems().items() if system.usual]


def test_the_short_mode(place: Path):
    """Every experiment natively and in pods: nothing wrong, late or refused; its times are nobody's."""
    done = bench("--quick", "--out", str(place / "results"))
    assert done.returncode == 0, done.stdout + done.stderr
    results = samples.read(place / "results")
    assert {v.why for v in results.voids} <= {"not offered"}, results.voids
    for name, experiment in experiments().items():
        asked = {
            system
            for system in experiment.systems or USUAL
            if system in USUAL and systems()[system].supports(name)
        }
        told = {s.system for s in results.samples if s.experiment == name}
        assert told and asked <= told | {v.system for v in results.voids if v.experiment == name}
        assert results.rows() and f"## {experiment.title}" in (
            place / "results" / "report.md"
        ).read_text(encoding="utf-8")


def test_a_limit_that_struck_is_said(place: Path):
    with pytest.raises(LateError, match=r"ready in .*out did not come about in 0 s"):
        (place / "out").touch()
        wait_for_ready(place / "out", 0.0)
    with pytest.raises(LateError, match="in a pod did not come in 0 s"):
        PodInside(place).run(["/bin/sleep", "100"], 0)
    with pytest.raises(LateError, match="sleep 100 did not come in 0 s"):
        native.NativeInside(place).run(["/bin/sleep", "100"], 0)


@pytest.mark.parametrize("moved", [False, True])
def test_what_a_program_says_in_a_pod_is_what_it_says(place: Path, moved: bool):
    inside = PodInside(place, moved=moved)
    assert inside.run(["/bin/echo", "ready", "or not"]) == "ready or not\n"
    with pytest.raises(RefusedError, match="status"):
        inside.run(["/bin/sh", "-c", "exit 3"])


def test_root_runs_what_it_is_asked_for_until_there_is_nobody(place: Path):
    """Here root is whoever runs the tests."""
    script = (
        "from bench import asroot; from pathlib import Path\n"
        "print(asroot.offered(), asroot.run(['sh', '-c', 'echo said; exit 3']),\n"
        "      asroot.run(['echo', 'more'], out=Path('out')), asroot.run(['/no/such']),\n"
        "      asroot.run(['sleep', '99'], patience_s=0.01))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "bench.asroot", sys.executable, "-c", script],
        cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("True (3, 'said\\n') (0, '') (127, "), done.stderr
    assert "(-1, 'no end in 0 s\\n')" in done.stdout
    assert (place / "out").read_text() == "more\n"
    assert asroot.VARIABLE not in os.environ


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
            until(lambda: "sleep" in map(comm, native.tree(rival.pid)), "it", pause=0.01)
            pids = native.tree(rival.pid)
            assert len(pids) >= 4
            native.stop_plainly(rival.pid, pids)
            assert native.states(pids) == ["T"] * (len(pids) + 3)
            os.kill(pids[-1], signal.SIGCONT)
            until(lambda: set(native.states(pids)) == {"T", "S"}, "one that runs", pause=0.01)
        finally:
            os.killpg(rival.pid, signal.SIGKILL)
    reap()

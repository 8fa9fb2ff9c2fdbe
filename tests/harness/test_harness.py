"""The harness itself, with nothing of ours under it: a proof is only as good as its instrument."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import snapshot, world
from harness.flavours import compare_native, run_flavour, started


def test_native_passes_and_fails(place: Path):
    ok = "echo ready; while [ ! -e $ZT_GO ]; do sleep 0.01; done; echo PASS"
    assert run_flavour("native", ["/bin/sh", "-c", ok], place).exit == 0
    for bad in ("echo ready; exit 3", "echo ready; echo NO", "kill -9 $$"):
        with pytest.raises(world.FlavourError):
            run_flavour("native", ["/bin/sh", "-c", bad], place, timeout=5)


def test_native_compares_with_itself(place: Path):
    compare_native("native", ["/bin/sh", "-c", "echo a; sleep 0.2; echo b; exit 4"], place)
    with pytest.raises(AssertionError, match="output differs"):
        compare_native("native", ["/bin/sh", "-c", "echo $$"], place)


def test_a_life_leaves_nothing(place: Path):
    with started("native", ["/bin/sh", "-c", "sleep 100 & sleep 100"], place) as it:
        it.wait(0.2)
        assert len(it.processes()) == 3
    ended = it.process.returncode
    assert ended == -9


def test_leaks_are_found(place: Path):
    """A background process that a test leaves behind fails that test."""
    (place / "test_leak.py").write_text(
        textwrap.dedent("""
        import subprocess
        def test_it():
            subprocess.run(["/bin/sh", "-c", "sleep 55 & :"])
        """)
    )
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest"]
    done = subprocess.run(
        [*pytest_here, str(place)],
        capture_output=True, text=True, cwd=place, check=False,
        env={**os.environ, "PYTHONPATH": str(world.TESTS)},
    )  # fmt: skip
    assert "left running by this test" in done.stdout
    assert "sleep 55" in done.stdout


class _FakePod:
    def __init__(self, *rpids: int):
        self.rpids = rpids

    def processes(self):
        return [_Info(vpid=2 + n, rpid=rpid, ppid=1) for n, rpid in enumerate(self.rpids)]


@dataclass
class _Info:
    vpid: int
    rpid: int
    ppid: int


def test_snapshot_sees_what_changed():
    script = (
        "import os, sys; sys.stdin.readline(); print(os.open('/etc/passwd', 0), flush=True);"
        "sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        pod = _FakePod(child.pid)
        while "python" not in Path(f"/proc/{child.pid}/comm").read_text():
            time.sleep(0.01)
        time.sleep(0.5)  # until it reads its input
        before = snapshot.take(pod)
        assert not [d for d in snapshot.differences(before, snapshot.take(pod)) if " fds " in d]
        print(file=child.stdin, flush=True)
        fd = child.stdout.readline().strip()
        said = snapshot.differences(before, snapshot.take(pod))
        assert any(f"fds {fd}: is new" in line and "/etc/passwd" in line for line in said), said
        print(file=child.stdin, flush=True)

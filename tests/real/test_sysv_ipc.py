"""System V objects are the pod's own: keys meet nobody else's, and none outlives its pod."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.flavours import started
from harness.runs import PodRun
from harness.supervisor_death import kill_supervisor
from harness.supervisors import eventually
from harness.world import REAL, environment, python
from zaptrace.pod.pod import Pod
from zaptrace.pod.stdio import Stdio

KINDS = ("shm", "sem", "msg")
PROGRAM = REAL / "sysv_left.py"


def there(mode: str) -> set[tuple[str, str]]:
    """Every object of the host with this mode, by kind and number; each test has a mode of its own."""
    found = set()
    for kind in KINDS:
        for row in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]:
            _, number, permissions, *_ = row.split()
            if permissions.endswith(mode):
                found.add((kind, number))
    return found


@pytest.mark.parametrize("flavour", ["restore", "migrate"])
def test_two_pods_have_one_key_each(place: Path, flavour: str) -> None:
    mode = {"restore": "613", "migrate": "623"}[flavour]
    with (
        started(flavour, [python(), PROGRAM, "3", mode], place) as one,
        started(flavour, [python(), PROGRAM, "4", mode], place) as other,
    ):
        for it in (one, other):
            it.wait_for("ready")
        assert len(there(mode)) == 2 * len(KINDS)
        for it in (one, other):
            assert it.cycle()
        assert len(there(mode)) == 2 * len(KINDS)
        for it in (one, other):
            it.go()
            assert "PASS" in it.finish().output
    assert not there(mode)


def test_nothing_is_left_when_a_pod_was_killed(place: Path) -> None:
    """At that very moment, not only when its tracer ends: somebody is told of the end in between."""
    env = environment(ZT_GO=str(place / "never"))
    out = os.open(place / "out", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    stdio = Stdio(out, out, out)
    with Pod.launch([python(), str(PROGRAM), "6", "643"], name="it", env=env, stdio=stdio) as pod:
        eventually(lambda: len(there("643")) == len(KINDS))
        pod.kill()
        assert not there("643")
    os.close(out)


def test_nothing_is_left_by_a_supervisor_that_is_killed(place: Path) -> None:
    with started("pod", [python(), PROGRAM, "5", "633"], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        assert len(there("633")) == len(KINDS)
        kill_supervisor(it)  # and waits for all processes below it, the heir too
        assert not there("633")

"""Broken on purpose, at every named point: a pod is running or gone, never half."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import fault_points, world
from harness.flavours import started
from harness.hosts import Host
from harness.runs import PodRun
from harness.world import REAL, FlavourError, compiled, python

HANDLED = ("checkpoint", "restore", "migrate", "server", "wire", "image", "tracer")


def test_every_fault_point_is_visited():
    strange = {n: f for n, f in fault_points.named().items() if n.split(".")[0] not in HANDLED}
    assert not strange, f"no test visits these: {strange}"


@pytest.mark.parametrize("point", fault_points.of("checkpoint", "restore"))
def test_checkpoint_fails(point: str, place: Path):
    """The pod goes on, there is no image, and the next checkpoint is a good one.

    The points of a restore are those of the rehearsal.
    """
    with started("restore", [compiled(REAL / "many.c"), "processes", "5"], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        it.ask("fault", name=f"{point}:raise")
        with pytest.raises(FlavourError, match="fault point"):
            it.cycle()
        assert not list(it.place.glob("image-*"))
        it.ask("fault", name="")
        assert it.cycle()
        it.go()
        assert it.finish().exit == 0


@pytest.mark.parametrize("point", fault_points.of("restore"))
def test_restore_fails(point: str, place: Path):
    """Nothing of the half-made pod stays, and the image is as good as before."""
    with started("restore", [compiled(REAL / "many.c"), "processes", "5"], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        assert it.checkpoint("stop")
        it.ask("fault", name=f"{point}:raise")
        with pytest.raises(FlavourError, match="fault point"):
            it.restore()
        assert world.descendants(it.runner.pid) == []
        it.ask("fault", name="")
        it.restore()
        it.go()
        assert it.finish().exit == 0


@pytest.mark.parametrize("point", fault_points.of("checkpoint", "restore"))
def test_supervisor_dies_there(point: str, place: Path):
    with started("restore", [compiled(REAL / "many.c"), "processes", "5"], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        if point.startswith("restore"):
            assert it.checkpoint("stop")
        it.ask("fault", name=f"{point}:kill")
        with pytest.raises(FlavourError, match="SIGKILL"):
            it.restore() if point.startswith("restore") else it.cycle()
        # `nothing_stays` sees to it that no process is left.


class Count:
    """The numbers that counting.py wrote, checked for one copy that missed and repeated nothing."""

    def __init__(self, work: Path):
        self.path = work / "numbers"

    def check(self) -> int:
        """How many there are. A line that is just being written does not count."""
        lines = self.path.read_text().split("\n")[:-1]
        assert lines == [f"{n} {n - 1}" for n in range(len(lines))], lines[-20:]
        return len(lines)

    def grows(self, patience: float = 15.0) -> bool:
        begin, deadline = self.check(), time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.check() > begin:
                return True
            time.sleep(0.05)
        return False


@pytest.mark.slow
@pytest.mark.parametrize("point", fault_points.of("migrate"))
def test_migration_breaks(point: str, place: Path):
    """Killed at this point: the pod runs on at the source, or was handed over, exactly once.

    Whoever passes the point is killed there: the source's supervisor (which takes its pod with it,
    unless that was handed over) or the destination's server, which is started anew. The
    conversation without pods is tested in tests/migration/test_protocol.py, with more ways to break it.
    """
    broken = point.split(".")[1]
    fault = {"ZAPTRACE_FAULT": f"{point}:kill"}
    work = place / "work"
    work.mkdir()
    count = Count(work)
    with contextlib.ExitStack() as stack:
        a, b = Host(place, "a"), Host(place, "b")
        stack.callback(b.close)
        stack.callback(a.close)
        b.serve(env=fault if broken == "destination" else None)
        a.know(b)
        a.run(
            "run", "-d", "--name", "count", "--", python(), str(REAL / "counting.py"),
            cwd=work, env=fault if broken == "source" else {},
        )  # fmt: skip
        while not count.path.exists() or count.check() < 5:
            time.sleep(0.02)
        with ThreadPoolExecutor(1) as aside:
            migrating = aside.submit(
                a.run, "migrate", "count", b.endpoint, check=False, timeout=150
            )
            while not migrating.done():
                time.sleep(0.05)
                if b.server and b.server.poll() is not None:
                    b.serve()  # as whatever looks after services would do
        done = migrating.result()
        assert "Traceback" not in done.stderr, done.stderr
        runs = count.grows(patience=5)
        live = [host.name for host in (a, b) if any(p["name"] == "count" for p in host.pods())]
        said = f"{point}: {done.returncode} {done.stdout}{done.stderr}\n{a.log()}\n{b.log()}"
        if runs:
            assert len(live) == 1, f"on {live}: {said}"
        if done.returncode == 0:
            assert live == ["b"], f"on {live}: {said}"
        if not runs:
            # As migration says: the pod died with its supervisor, or the image is kept and named.
            assert broken == "source" or "image" in done.stderr, f"nobody runs: {said}"
        (work / "enough").touch()
        time.sleep(0.2)
        count.check()

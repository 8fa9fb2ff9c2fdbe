"""`zaptrace stop` works whatever a pod is at."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import fault_points
from harness.hosts import Host, cli
from harness.supervisors import eventually
from zaptrace.supervisor import runtime

pytestmark = pytest.mark.slow


def pods_starting(host: Host) -> list[str]:
    root = Path(host.env["ZAPTRACE_RUNTIME_DIR"])
    return [name for name in runtime.pods(root) if runtime.is_starting(root / name)]


@pytest.mark.parametrize("point", fault_points.of("restore")[::3])
def test_a_restore_that_hangs(point: str, place: Path):
    """At any stage, of which three are tried: what was made of the pod is gone, and the name is free."""
    host = Host(place, "a")
    try:
        host.run("run", "-d", "--name", "web", "--", "sleep", "1000")
        host.run("checkpoint", "web", "--to", place / "web.zap", "--stop")
        restoring = subprocess.Popen(
            [*cli(), "restore", place / "web.zap", "-d"],
            env=host.env | {"ZAPTRACE_FAULT": f"{point}:stall"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: pods_starting(host) == ["web"])
        time.sleep(0.5)  # it is on its way; at any moment of that a stop has to work
        assert "before it was whole" in host.run("stop", "web").stdout
        _, said = restoring.communicate(timeout=30)
        assert restoring.returncode == 125 and "Traceback" not in said, said
        assert host.pods() == []
        host.run("restore", place / "web.zap", "-d")
        assert "signal 15" in host.run("stop", "web").stdout
    finally:
        host.close()


def test_a_checkpoint_that_hangs(place: Path):
    host = Host(place, "a")
    try:
        host.run(
            "run", "-d", "--name", "web", "--", "sleep", "1000",
            env={"ZAPTRACE_FAULT": "checkpoint.captured:stall"},
        )  # fmt: skip
        checkpoint = subprocess.Popen(
            [*cli(), "checkpoint", "web", "--to", place / "web.zap"],
            env=host.env,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: [p["state"] for p in host.pods()] == ["checkpointing"])
        # Its last part is written: what comes is the stall, which nothing cuts short.
        eventually(lambda: any(p.stat().st_size for p in place.glob(".web.zap.*.tmp/state")))
        assert "hung" in host.run("stop", "web", "--kill").stdout
        checkpoint.communicate(timeout=30)
        assert host.pods() == []
    finally:
        host.close()


def test_a_migration_whose_destination_never_says_whole(place: Path):
    """Given up, the pod runs on, or ends as it was asked to, and nothing is left over there."""
    a, b = Host(place, "a"), Host(place, "b")
    try:
        b.serve(env={"ZAPTRACE_FAULT": "restore.after_memory:stall"})
        a.know(b)
        a.run("run", "-d", "--name", "web", "--", "sleep", "1000")

        def migrating() -> subprocess.Popen[str]:
            child = subprocess.Popen(
                [*cli(), "migrate", "web", b.endpoint],
                env=a.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            eventually(lambda: [p["state"] for p in a.pods()] == ["migrating"])
            eventually(lambda: [p["state"] for p in b.pods()] == ["restoring"])
            return child

        def given_up(child: subprocess.Popen[str], status: int, by: str) -> None:
            _, said = child.communicate(timeout=60)
            assert child.returncode == status and by in said, said
            assert "nothing; the pod runs on here" in said
            eventually(lambda: b.pods() == [])

        child = migrating()
        child.send_signal(signal.SIGINT)
        given_up(child, 130, "ctrl-c")
        assert [p["state"] for p in a.pods()] == ["running"]

        child = migrating()
        assert "signal 15" in a.run("stop", "web").stdout
        given_up(child, 130, "zaptrace stop")
        assert a.pods() == []
    finally:
        a.close()
        b.close()

"""`zaptrace stop` of what somebody types to: a shell ignores SIGTERM, and ends when it is hung up."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.hosts import Host
from harness.supervisors import eventually
from harness.world import require

SHELLS = {"bash": ["bash", "--norc", "-i"], "sh": ["sh", "-i"], "zsh": ["zsh", "-f", "-i"]}


def names(host: Host) -> list[str]:
    return [process["comm"] for pod in host.pods() for process in pod["processes"]]


@pytest.mark.parametrize("shell", SHELLS)
def test_an_idle_shell(shell: str, place: Path) -> None:
    require(shell)
    host = Host(place, "a")
    try:
        host.run("run", "-d", "-t", "--name", "it", "--", *SHELLS[shell])
        ignoring = f"/proc/{host.pods()[0]['processes'][0]['rpid']}/status"
        eventually(
            lambda: int(Path(ignoring).read_text().split("SigIgn:")[1].split()[0], 16) & 0x4000
        )
        said = host.run("stop", "it", "--grace", "1000")
        assert "exited" in said.stdout or "signal 1" in said.stdout, said.stdout
        assert host.pods() == []
    finally:
        host.close()


def test_its_jobs_end_with_it(place: Path) -> None:
    """Also one that is stopped."""
    require("bash")
    host = Host(place, "a")
    runs = "until read -r name </proc/$!/comm && [ $name = sleep ]; do :; done"
    script = f"sleep 1000 & {runs}; kill -STOP $!; exec bash --norc -i"
    try:
        host.run("run", "-d", "-t", "--name", "it", "--", "bash", "-c", script)
        eventually(lambda: "bash-" in host.run("logs", "it").stdout)
        assert sorted(names(host)) == ["bash", "sleep"]
        host.run("stop", "it", "--grace", "1000")
        assert host.pods() == []
    finally:
        host.close()


def test_who_handles_sigterm_gets_nothing_else(place: Path) -> None:
    host = Host(place, "a")
    script = "trap 'sleep 0.3; exit 9' TERM; echo up; while :; do sleep 0.05; done"
    try:
        host.run("run", "-d", "-t", "--name", "it", "--", "sh", "-c", script)
        eventually(lambda: "up" in host.run("logs", "it").stdout)
        assert "status 9" in host.run("stop", "it", "--grace", "1000").stdout
    finally:
        host.close()


def test_it_says_whom_it_waits_for(place: Path) -> None:
    host = Host(place, "a")
    try:
        script = "trap '' TERM HUP; echo up; exec sleep 1000"
        host.run("run", "-d", "-t", "--name", "it", "--", "sh", "-c", script)
        eventually(lambda: "up" in host.run("logs", "it").stdout)
        said = host.run("stop", "it", "--grace", "2")
        assert "(sleep); SIGKILL in 1 s, or with --kill at once" in said.stderr
        assert "signal 9" in said.stdout
    finally:
        host.close()

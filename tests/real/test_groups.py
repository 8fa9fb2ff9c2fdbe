"""A user with supplementary groups, as most have: what a socket tells of its peer has them, too."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.hosts import Host, cli
from harness.supervisors import eventually
from harness.world import PATIENCE_S, PROGRAMS, compiled

pytestmark = pytest.mark.root_too

MANY = [4, 27, *range(70000, 70050)]


@pytest.fixture
def host(place: Path):
    host = Host(place, "a")
    yield host
    host.close()


@pytest.mark.parametrize("groups", [MANY[:1], MANY], ids=["one", "many"])
def test_sockets_of_a_user_with_groups(groups: list[int], host: Host):
    if os.geteuid():
        pytest.skip("only root may give groups to a process; the pass as root does")
    go, image = host.home / "go", host.home / "image"

    def zaptrace(*words: str | Path) -> str:
        done = subprocess.run(
            [*cli(), *map(str, words)], env={**os.environ, **host.env}, cwd=host.home,
            extra_groups=groups, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    zaptrace(
        "run",
        "-d",
        "--name",
        "web",
        "--",
        "env",
        f"ZT_GO={go}",
        compiled(PROGRAMS / "unix_peers.c"),
    )
    eventually(lambda: "ready" in zaptrace("logs", "web"))
    zaptrace("checkpoint", "web", "--to", image, "--stop")
    zaptrace("restore", image, "-d")
    go.touch()
    zaptrace("logs", "web", "--follow")
    assert "PASS" in zaptrace("logs", "web")

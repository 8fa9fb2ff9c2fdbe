"""Both ends of a migration as processes of their own (fake_host.py), for tests that kill them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness.world import ROOT, TESTS
from zaptrace.network.keys import Keys

HELPER = TESTS / "harness" / "fake_host.py"


class Process:
    """fake_host.py in a process of its own; `env` beside ours: ZAPTRACE_FAULT or ZAPTRACE_PLAN."""

    def __init__(self, base: Path, *arguments: str, **env: str) -> None:
        ours = {k: v for k, v in os.environ.items() if not k.startswith("ZAPTRACE_")}
        self.popen = subprocess.Popen(
            [sys.executable, str(HELPER), str(base), *arguments],
            stdout=subprocess.PIPE,
            env=ours | {"PYTHONPATH": str(ROOT)} | env,
            text=True,
        )

    def line(self) -> str:
        """What it says next; empty when it is gone."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def end(self) -> int:
        """Its exit status, once it is gone."""
        status = self.popen.wait(60)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return status

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self.popen.poll() is None:
            self.popen.terminate()
        self.end()


def make_world(base: Path) -> Path:
    """Make of `base` a directory for a world of processes, whose pod runs at the source."""
    (base / "world").mkdir()
    (base / "world" / "source").touch()
    Keys(base / "config")
    return base


def live(base: Path) -> list[str]:
    """The copies that run."""
    return sorted(os.listdir(base / "world"))


def staged(base: Path) -> list[str]:
    """The images that the destination keeps."""
    return [str(p) for p in (base / "staging").glob("*/image")]

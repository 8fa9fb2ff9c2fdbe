"""SIGKILL to the supervisor of a run, and that all of its pod goes with it."""

from __future__ import annotations

import time
from pathlib import Path

from harness import world
from harness.runs import PodRun


def alive(pids: list[int]) -> list[int]:
    """Those that are there and no zombies."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append(pid)
    return found


def kill_supervisor(it: PodRun) -> None:
    """SIGKILL it; everything below it has to be gone soon after."""
    pids = world.descendants(it.runner.pid)
    it.runner.kill()
    it.runner.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        # Whatever was made after we looked is an orphan of ours now.
        world.reap()
        left = alive([*pids, *world.left_since(world.waited)])
        if not left:
            return
        time.sleep(0.02)
    raise it.failed("left after SIGKILL:\n" + "\n".join(map(world.describe, left)))

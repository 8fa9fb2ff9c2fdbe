"""How long a pod takes to freeze, and to thaw, next to SIGSTOP of as many, seen to be stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .common import Line, compiled, ms, pod, report, scratch, until, wait_for_ready

ROUNDS = 15
LOADS = (("processes", 1), ("processes", 50), ("processes", 200), ("threads", 1000))


def tree(root: int) -> list[int]:
    """A process and all below it."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def states(pids: Sequence[int]) -> list[str]:
    """The state of every thread of these processes, a letter each."""
    return [
        (task / "stat").read_text().rpartition(")")[2].split()[0]
        for pid in pids
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]


def stop_plainly(group: int, pids: Sequence[int]) -> None:
    """Until no thread of any process runs; `pids` are all of the group."""
    os.killpg(group, signal.SIGSTOP)
    until(lambda: set(states(pids)) == {"T"}, "the stop of a group", pause=0)


def measure(rounds: int = ROUNDS) -> list[Line]:
    lines = []
    for what, count in LOADS:
        command = [str(compiled("load")), what, str(count)]
        freeze = Line(f"freeze {count} {what}", "ms", rival="SIGSTOP to the group")
        thaw = Line(f"thaw {count} {what}", "ms", rival="SIGCONT to the group")
        with scratch() as place, pod(command, place) as it:
            plain_out = place / "plain"
            with open(plain_out, "wb") as out:
                plain = subprocess.Popen(command, stdout=out, start_new_session=True)
            try:
                wait_for_ready(plain_out)
                pids = tree(plain.pid)
                for _ in range(rounds):
                    freeze.ours.append(ms(it.freeze))
                    thaw.ours.append(ms(it.thaw))
                    freeze.theirs.append(ms(stop_plainly, plain.pid, pids))
                    thaw.theirs.append(ms(os.killpg, plain.pid, signal.SIGCONT))
            finally:
                os.killpg(plain.pid, signal.SIGKILL)
                plain.wait()
        lines += [freeze, thaw]
    return lines


def main() -> None:
    report("freeze_time", measure())


if __name__ == "__main__":
    main()

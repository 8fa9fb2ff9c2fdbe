"""A batch system, as far as its jobs can tell: it starts a script, sends what the real one sends, and
starts it again when it was asked to.

    slurm     scancel, preemption, a time limit: SIGCONT and SIGTERM to every process of the job's steps
              (of their cgroup), after KillWait SIGKILL. --signal=B:USR1@120: to the batch shell alone
    pbs       qrerun, a time limit: SIGTERM to every process of the job, after kill_delay SIGKILL
    htcondor  an eviction: kill_sig to the job's first process; later SIGKILL to all
    systemd   stop, the end of the session: SIGTERM and SIGCONT to every process of the unit's cgroup,
              after TimeoutStopSec SIGKILL
    a node that goes: nothing before SIGKILL

What "every process" is nobody can hide from: a node (this file as a program) is the reaper of all that a
job starts, as a cgroup would hold it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


class Node:
    """A host that runs one job once."""

    def __init__(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], output: Path
    ) -> None:
        with output.open("ab") as log:  # as sbatch --open-mode=append
            self._node = subprocess.Popen(
                [sys.executable, "-S", "-E", __file__, *argv],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def processes(self) -> list[int]:
        """All that there are of the job."""
        from harness.world import descendants

        return descendants(self._node.pid)

    def to_all(self, *numbers: int) -> None:
        """Signals to every process of the job, one after the other."""
        for number in numbers:
            for pid in self.processes():
                _kill(pid, number)

    def to_first(self, number: int) -> None:
        """To the process that the job is for the batch system: its shell, or its program."""
        for pid in self.processes()[:1]:
            _kill(pid, number)

    def to_program(self, name: str, number: int) -> None:
        """To those of the job that run this program."""
        for pid in self.processes():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    _kill(pid, number)

    def lose(self) -> None:
        """SIGKILL to all, until nothing is left."""
        while self.processes():
            self.to_all(signal.SIGKILL)
        self._node.wait()

    def ended(self) -> bool:
        """The job's first process has."""
        return self._node.poll() is not None

    def wait(self, patience: float) -> int:
        """The exit status of the job's first process; below 0 the signal that ended it."""
        status = self._node.wait(patience)
        return status if status < 128 else 128 - status


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    job = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
    first = None
    with contextlib.suppress(ChildProcessError):
        while True:  # a cgroup that is empty is the end
            pid, status = os.wait()
            first = status if pid == job else first
    code = os.waitstatus_to_exitcode(first or 0)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()

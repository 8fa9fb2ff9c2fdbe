"""A supervisor around a pod that is only a session of ordinary processes.

It stands in for the tracer, so that the supervisor, the control socket and the command line can be
tested without it. `python -m harness.fake_pod ...` is the command line with such supervisors.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from zaptrace.cancel import Cancel
from zaptrace.errors import Cancelled, HostError, UnsupportedResource, ZaptraceError
from zaptrace.pod.stdio import Stdio
from zaptrace.supervisor import kept, starter, stopping, supervisor
from zaptrace.supervisor.engine import Engine


class FakeLaunchError(HostError):
    """exec failed."""

    status = 126


@dataclass
class FakeProcess:
    vpid: int
    rpid: int
    ppid: int
    comm: str
    state: str
    threads: int


class FakePod:
    tty_master = None
    stdio = Stdio()
    failure = None
    told: ClassVar[list[str]] = []

    def __init__(self, name: str, argv: list[str], child: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.argv = argv
        self.created = time.time()
        self.frozen = False
        self._child = child

    def processes(self) -> list[FakeProcess]:
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                head, _, rest = (entry / "stat").read_text().rpartition(")")
                state, ppid, _, sid = rest.split()[:4]
                if int(sid) == self._child.pid:
                    pid = int(entry.name)
                    comm = head.partition("(")[2]
                    found.append(FakeProcess(pid, pid, int(ppid), comm, state, 1))
        return sorted(found, key=lambda p: p.vpid)

    def signal(self, number: int, vpid: int | None = None) -> None:
        try:
            os.kill(vpid or self._child.pid, number)
        except ProcessLookupError:
            raise ZaptraceError("no such process") from None

    def _everyone(self, number: int) -> None:
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.rpid, number)

    def freeze(self, cancel: Cancel | None = None) -> None:
        self._everyone(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self._everyone(signal.SIGCONT)
        self.frozen = False

    def kill(self) -> None:
        while [p for p in self.processes() if p.state != "Z"]:
            self._everyone(signal.SIGKILL)
            self._child.poll()
            time.sleep(0.01)

    def wait(self, timeout: float | None = None) -> int | None:
        code = self._child.wait(timeout)
        return code << 8 if code >= 0 else -code

    def wait_empty(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while [p for p in self.processes() if p.state != "Z"]:
            if deadline is not None and time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def cut(self) -> None:
        self._everyone(signal.SIGKILL)

    def close(self, patience: float = 0.0) -> None:
        pass


class FakeEngine(Engine):
    def warm(self) -> None:
        if os.environ.get("FAKE_POD_LOADS") == "for ever":
            time.sleep(3600)

    def launch(
        self, job: starter.Job, stdio: tuple[int, int, int], master: int | None, cancel: Cancel
    ) -> FakePod:
        linger(job.argv, cancel)
        program = shutil.which(job.argv[0], path=(job.env or os.environ).get("PATH"))
        if program is None:
            error = FakeLaunchError(f"cannot run {job.argv[0]}")
            error.status = 126 if os.path.exists(job.argv[0]) else 127
            raise error
        return self._run(job, job.argv, stdio, master is not None, held=False)

    def _run(
        self,
        job: starter.Job,
        argv: list[str],
        stdio: tuple[int, int, int],
        tty: bool,
        held: bool,
    ) -> FakePod:
        stop = "kill -STOP $$; " if held else ""
        command = ["sh", "-c", stop + 'exec "$@"', "sh", *argv]
        child = subprocess.Popen(
            ["setsid", *(["-c"] if tty else []), *command],
            stdin=stdio[0],
            stdout=stdio[1],
            stderr=stdio[2],
            cwd=job.cwd,
            env=job.env,
        )
        pod = FakePod(job.name or "", argv, child)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:  # until it has its session (and is stopped)
            if child.poll() is not None:
                break
            now = pod.processes()
            if now and (not held or now[0].state in "Tt"):
                break
            time.sleep(0.005)
        pod.frozen = held
        return pod

    def image_pod(self, path: str) -> dict[str, Any]:
        return json.loads((Path(path) / "fake.json").read_text())

    def restore(
        self, job: starter.Job, stdio: tuple[int, int, int], master: int | None, cancel: Cancel
    ) -> FakePod:
        return self._run(
            job, self.image_pod(str(job.image))["argv"], stdio, master is not None, held=True
        )

    def checkpoint(
        self,
        pod: FakePod,
        to: str,
        then: str,
        codec: str | None,
        rehearsal: bool,
        outside: str,
        progress: Any,
        cancel: Cancel,
        shown: Any = None,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        if "unsupported" in to:
            raise UnsupportedResource(
                f"cannot checkpoint pod {pod.name!r}: process 7 (nginx), fd 12 is io_uring",
                needed="a room that can capture it",
                found="none",
                do="restart the pod",
                changed="nothing; the pod is running again",
            )
        if "typo" in to:
            raise TypeError("a fault\nof ours")
        if "endless" in to:
            time.sleep(3600)
        if "waits" in to:
            os.mkdir(to + ".half")
            try:
                wait(cancel)
            except Cancelled as error:
                error.changed = "nothing; the pod is running again"
                raise
            finally:
                os.rmdir(to + ".half")
        if "gate" in to:
            while not os.path.exists(to + ".open"):
                cancel.check()
                time.sleep(0.01)
        if "slow" in to:
            for step in range(10):
                cancel.check()
                progress({"step": "memory", "done": step, "total": 10})
                time.sleep(0.1)
        os.mkdir(to)
        (Path(to) / "fake.json").write_text(json.dumps({"name": pod.name, "argv": pod.argv}))
        if then == "stop":
            pod.kill()
        return {"downtime_s": 0.001, "bytes": 12345, "stored": 12345, "processes": 1, "threads": 1}

    def refusals(self, pod: FakePod) -> list[Any]:
        return []

    def migrate(
        self,
        pod: FakePod,
        to: str,
        options: dict[str, Any],
        progress: Any,
        cancel: Cancel,
        shown: Any = None,
    ) -> dict[str, Any]:
        progress({"phase": "send", "sent": 1, "total": 2})
        if "silent" in to:  # the destination never says whole
            wait(cancel)
        cancel.commit()
        if "insists" in to:  # nor that it is live
            wait(Cancel(), limit=5.0)
        pod.kill()
        return {"downtime_s": 0.002, "bytes": 99}


def wait(cancel: Cancel, limit: float = 3600.0) -> None:
    """For something that does not come."""
    over = threading.Event()
    with cancel.waking(over.set):
        over.wait(limit)
    cancel.check()


def linger(argv: list[str], cancel: Cancel) -> None:
    """A launch that hangs: until it is given up, or for good."""
    if "hangs" in argv:
        wait(cancel)
    if "deaf" in argv:
        time.sleep(3600)


def main() -> None:
    """A supervisor with a fake pod."""
    if usual := os.environ.get("FAKE_USUAL_ROOT"):
        kept.usual_root = lambda: usual
    if patience := os.environ.get("FAKE_POD_ABANDONED"):
        stopping._ABANDON_S = float(patience)
    supervisor.main(FakeEngine())


if __name__ == "__main__":
    from zaptrace.cli import main as cli

    starter.PROGRAM = "harness.fake_pod"
    cli(sys.argv[1:])

"""Waiting for supervisors, and for their end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from zaptrace.errors import PodError, WireTimeout
from zaptrace.supervisor import control, runtime, starter
from zaptrace.supervisor.starter import Job, Started

PATIENCE_S = 20.0


def eventually(condition, what: str = "it") -> None:
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """No such process, or a zombie: we may be the one that reaps orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def end_all(root: Path) -> None:
    """End every pod of a runtime directory, and wait for their supervisors."""
    for name in runtime.pods(root):
        with contextlib.suppress(PodError), control.Client(name, root) as client:
            with contextlib.suppress(PodError, WireTimeout):
                client.call("discard", timeout=5)
            eventually(lambda c=client: not c.alive(), f"the end of pod {name}")


@contextlib.contextmanager
def pod(base: Path, script: str, **more: object) -> Iterator[tuple[Started, control.Client]]:
    job = Job(
        "launch",
        str(base),
        **{"name": "web", "argv": ["sh", "-c", script], "stdio": "log", **more},
    )
    with starter.start(job) as started, started.connect() as client:
        yield started, client

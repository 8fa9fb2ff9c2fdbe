"""Pods that sleep: what their supervisors take."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..tools import ZAPTRACE, ended_well, ms

Numbers = list[tuple[str, float, str]]
_IDLE_S = 2.0


def memory(pids: Sequence[int], n: int = 1) -> Numbers:
    """Of some processes together, for each of n."""
    found = []
    for what, file, key in (
        ("resident", "status", "VmRSS:"),
        ("shared fairly", "smaps_rollup", "Pss:"),
    ):
        texts = [Path(f"/proc/{pid}/{file}").read_text() for pid in pids]
        kib = sum(int(text.split(key)[1].split()[0]) for text in texts)
        found.append((what, kib / 1024 / n, "MiB"))
    return found


def idle(pids: Sequence[int], n: int = 1) -> Numbers:
    """Processor time that they take in a second, for each of n."""
    before, began = [_busy_s(pid) for pid in pids], time.monotonic()
    time.sleep(_IDLE_S)
    took = sum(_busy_s(pid) for pid in pids) - sum(before)
    return [("idle", 1e3 * took / (time.monotonic() - began) / n, "ms/s")]


def _busy_s(pid: int) -> float:
    """By the scheduler, which counts nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _run(name: str, environment: Mapping[str, str]) -> None:
    ended_well([ZAPTRACE, "run", "--name", name, "-d", "--", "sleep", "600"], env=environment)


def _stop(names: Sequence[str], environment: Mapping[str, str]) -> None:
    for name in names:
        if os.path.isdir(f"{environment['ZAPTRACE_RUNTIME_DIR']}/{name}"):
            ended_well([ZAPTRACE, "stop", "--kill", name], env=environment)


def supervisor(directory: Path, name: str) -> int:
    return int((directory / name / "pid").read_text())


def idle_supervisor(directory: Path, environment: Mapping[str, str]) -> Numbers:
    """Of a pod that sleeps, and nobody has asked anything."""
    _run("idle", environment)
    try:
        return memory([supervisor(directory, "idle")])
    finally:
        _stop(["idle"], environment)


def many_pods(n: int, directory: Path, environment: Mapping[str, str]) -> Numbers:
    names = [f"pod-{number}" for number in range(n)]
    try:
        start = sum(ms(_run, name, environment) for name in names) / n
        pids = [supervisor(directory, name) for name in names]
        return [("start", start, "ms"), *memory(pids, n), *idle(pids, n)]
    finally:
        _stop(names, environment)

"""What the start of things costs, next to a bare start of the same Python.

The rival is `PYTHON -c pass`: the interpreter that runs zaptrace, with its site-packages and without
any option (-I and -S, which zaptrace does not have either, would make it faster still). Each sample of
ours is taken beside one of the rival. `cpu` lines are processor time of everything that was started,
the supervisor too: a busy machine changes those less than it changes the time on the clock.

python -m bench.start_cost [help completion run memory ...]
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .common import Line, asked, report

ROUNDS = 25
PATIENCE_S = 60
_SUBREAPER = 36
BARE = [sys.executable, "-c", "pass"]
ZAPTRACE = str(Path(sys.executable).with_name("zaptrace"))
COMPLETE = {"_ZAPTRACE_COMPLETE": "bash_complete", "COMP_WORDS": "zaptrace r", "COMP_CWORD": "1"}
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""Nobody compiles at every start what an installation has compiled."""
CASES: dict[str, tuple[list[str], dict[str, str]]] = {
    "help": ([ZAPTRACE, "--help"], {}),
    "completion": ([ZAPTRACE], COMPLETE),
    "run": ([ZAPTRACE, "run", "--", "true"], {}),
}


def cost(argv: Sequence[str], env: dict[str, str]) -> tuple[float, float]:
    """Milliseconds on the clock, and of processor time with all that it leaves to end."""
    before, began = used(), time.perf_counter()
    subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
        timeout=PATIENCE_S,
    )  # fmt: skip
    took = 1e3 * (time.perf_counter() - began)
    with contextlib.suppress(ChildProcessError):  # a supervisor that tidies up becomes our child
        while True:
            os.waitpid(-1, 0)
    return took, used() - before


def used() -> float:
    """Processor time of the children that have ended, in milliseconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (usage.ru_utime + usage.ru_stime)


def start_of(name: str, root: str, rounds: int) -> list[Line]:
    """Two lines: by the clock, and processor time."""
    argv, extra = CASES[name]
    env = {**ENVIRONMENT, "ZAPTRACE_RUNTIME_DIR": root, **extra}
    clock = Line(f"zaptrace {name}", "ms", rival="python3 -c pass")
    cpu = Line(f"zaptrace {name}, cpu", "ms", rival="python3 -c pass, cpu")
    for _ in range(rounds):
        for line_of, command in (("theirs", BARE), ("ours", argv)):
            took, busy = cost(command, env)
            getattr(clock, line_of).append(took)
            getattr(cpu, line_of).append(busy)
    return [clock, cpu]


def idle(root: str) -> list[Line]:
    """A supervisor whose pod sleeps and whom nobody has asked anything."""
    env = {**ENVIRONMENT, "ZAPTRACE_RUNTIME_DIR": root}
    command = [ZAPTRACE, "run", "--name", "idle", "-d", "--", "sleep", "600"]
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE_S)
    try:
        proc = Path("/proc") / (Path(root) / "idle" / "pid").read_text().strip()
        lines = [
            Line(f"idle supervisor, {what}", "MiB", [kib(proc / file, key) / 1024])
            for what, file, key in (
                ("resident", "status", "VmRSS:"),
                ("shared fairly", "smaps_rollup", "Pss:"),
            )
        ]
    finally:
        stop = [ZAPTRACE, "stop", "--kill", "idle"]
        subprocess.run(stop, env=env, stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE_S)
    return lines


def kib(path: Path, key: str) -> int:
    return int(path.read_text().split(key)[1].split()[0])


def measure(names: Sequence[str] = (*CASES, "memory"), rounds: int = ROUNDS) -> list[Line]:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="zt-bench-") as root:
        lines: list[Line] = []
        for name in names:
            lines += idle(root) if name == "memory" else start_of(name, root, rounds)
        return lines


def main(argv: Sequence[str] = ()) -> None:
    report("start_cost", measure(asked(argv, [*CASES, "memory"])))


if __name__ == "__main__":
    main(sys.argv[1:])

"""python -m bench.command_cost COMMAND...: what a command costs, on the clock and of the processor.

It is a process of its own, so that all that the command leaves to end can be waited for: the
processor time is of all of them, the clock stops when the command itself is over.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from .tools import ROOT, ended_well

_SUBREAPER = 36
_PATIENCE_S = 120.0
COMPILED = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""Nobody compiles at every start what an installation has compiled."""


def cost(argv: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Milliseconds on the clock, and of the processor. A command that fails is refused."""
    told = ended_well([sys.executable, "-m", __name__, *argv], _PATIENCE_S, env=env, cwd=ROOT)
    clock, busy = json.loads(told)
    return clock, busy


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (usage.ru_utime + usage.ru_stime)


def main() -> int:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    before, began = _used(), time.perf_counter()
    status = subprocess.run(
        sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    ).returncode
    clock = 1e3 * (time.perf_counter() - began)
    with contextlib.suppress(ChildProcessError):  # a supervisor that tidies up is our child now
        while True:
            os.waitpid(-1, 0)
    print(json.dumps([clock, _used() - before]))
    return status


if __name__ == "__main__":
    sys.exit(main())

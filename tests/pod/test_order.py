"""Who waits in turn keeps its turn, however long the host lets it wait for a processor."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.flavours import started
from harness.world import PROGRAMS, compiled, python

pytestmark = pytest.mark.tracer

RIVALS = 4


@contextlib.contextmanager
def busy(cpu: int) -> Iterator[None]:
    """Processes of other people's, all on one processor."""
    code = f"import os; os.sched_setaffinity(0, [{cpu}]); print(flush=True)\nwhile True: pass"
    rivals = [
        subprocess.Popen([python(), "-c", code], stdout=subprocess.PIPE) for _ in range(RIVALS)
    ]
    try:
        for rival in rivals:
            assert rival.stdout is not None and rival.stdout.readline() == b"\n"
        yield
    finally:
        for rival in rivals:
            rival.kill()
            rival.communicate()


def test_waiters_keep_their_turn_on_a_busy_processor(place: Path):
    """A thaw lets each go when the one before waits again: these have to wait for that, too."""
    cpus = os.sched_getaffinity(0)
    with started("frozen", [compiled(PROGRAMS / "sysv_order.c")], place) as it:
        it.wait_for("ready")
        waiters = [p["rpid"] for p in it.processes() if p["ppid"] != 1]
        for pid in waiters:
            os.sched_setaffinity(pid, {min(cpus)})
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
        with busy(min(cpus)):
            assert it.cycle()
        for pid in waiters:
            os.sched_setaffinity(pid, cpus)
        it.go()
        outcome = it.finish()
        assert outcome.exit == 0 and "PASS" in outcome.output.split()

"""Where a thread is frozen: never within a vDSO, whose code is another one on another host."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from zaptrace.linux.native import lib
from zaptrace.pod.pod import Pod, Stdio

pytestmark = pytest.mark.tracer

LOOKS = 60
READS = """
#include <time.h>
int main(void) { for (struct timespec now;;) clock_gettime(%s, &now); }
"""


def pc_of(rpid: int) -> int:
    """Of a process that is frozen (proc(5), /proc/PID/syscall)."""
    return int(Path(f"/proc/{rpid}/syscall").read_text().split()[-1], 16)


@pytest.mark.parametrize("clock", ["CLOCK_MONOTONIC", "CLOCK_THREAD_CPUTIME_ID"])
def test_no_thread_rests_in_a_vdso(clock: str, place: Path):
    """Nor behind a call that the vDSO makes, as it does for what it cannot read itself."""
    source, program = place / "reads.c", place / "reads"
    source.write_text(READS % clock)
    subprocess.run(["cc", "-O1", "-o", program, source], check=True)
    ours = range(lib.zt_stub_start(), lib.zt_stub_end())
    with (
        open(os.devnull, "r+b") as null,
        Pod.launch([str(program)], name="reads", stdio=Stdio(*[null.fileno()] * 3)) as pod,
    ):
        found = []
        for i in range(LOOKS):
            time.sleep(i * 1e-4)
            pod.freeze()
            found.append(pod.call(lambda: [pc_of(process.rpid) for process in pod.processes()]))
            pod.thaw()
    assert all(len(pcs) == 1 and pcs[0] not in ours for pcs in found), found

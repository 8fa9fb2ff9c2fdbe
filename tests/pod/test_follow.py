"""The tracer's thread runs where those run who stop for it, and only while they do."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from harness.supervisors import eventually
from zaptrace.pod.pod import Pod, Stdio

pytestmark = pytest.mark.tracer

STORM = r"""
#include <signal.h>
static void on_signal(int s) { (void)s; }
int main(void)
{
	signal(SIGUSR1, on_signal);
	for (;;)
		raise(SIGUSR1);
}
"""


def test_the_tracer_is_where_its_threads_stop(place: Path):
    """What is forked inherits it, so it is bound nowhere else than in the loop."""
    (place / "storm.c").write_text(STORM)
    subprocess.run(["cc", "-o", place / "storm", place / "storm.c"], check=True)
    null = os.open(os.devnull, os.O_RDWR)
    everywhere = os.sched_getaffinity(0)
    with Pod.launch([str(place / "storm")], name="storm", stdio=Stdio(null, null, null)) as pod:
        (tracer,) = [t for t in threading.enumerate() if t.name == "tracer of storm"]
        (process,) = pod.processes()
        eventually(lambda: len(os.sched_getaffinity(tracer.native_id)) == 1)
        assert os.sched_getaffinity(process.rpid) == everywhere
        pod.freeze()
        assert os.sched_getaffinity(tracer.native_id) == everywhere
        pod.thaw()
        assert pod.call(os.sched_getaffinity, 0) == everywhere
        pod.signal(signal.SIGKILL)
    os.close(null)

"""How often a pod stopped for the tracer is counted, by call, and shown to people."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.supervisors import eventually
from zaptrace.pod.counts import Counts, counts
from zaptrace.pod.pod import Pod

pytestmark = pytest.mark.tracer

SCRIPT = """
import ctypes, os, pathlib, signal, time
libc = ctypes.CDLL(None)
for _ in range(7): libc.syscall(110)       # getppid, answered by us
for _ in range(3):
    if os.fork() == 0: os._exit(0)
    os.wait()
signal.signal(signal.SIGUSR1, lambda *_: None)
os.kill(os.getpid(), signal.SIGUSR1)
print('counted', flush=True)
time.sleep(600)
"""


def by_name(told: Counts) -> dict[str, tuple[int, int, int]]:
    return {call.name: (call.entered, call.left, call.answered) for call in told.calls}


def test_stops_are_counted_by_call_and_reason(place: Path):
    from bench.systems.zaptrace import PodLoad

    load = PodLoad(["/usr/bin/python3", "-c", SCRIPT], place / "out")
    try:
        eventually(lambda: "counted" in (place / "out").read_text())
        told = load.pod.call(counts, load.pod)
        calls = by_name(told)
        assert calls["getppid"][0] >= 7 and calls["getppid"][2] >= 7
        assert calls["kill"][0] == 1
        assert "read" not in calls and "write" not in calls  # they never stop
        assert told.stops["birth"] == 3 and told.stops["signal"] >= 1
        assert told.stops["call entry"] == sum(entered for entered, _, _ in calls.values())
        assert [c.entered + c.left for c in told.calls] == sorted(
            (c.entered + c.left for c in told.calls), reverse=True
        )
        load.suspend(place / "image")
        load.resume(place / "image")
        anew = load.pod.call(counts, load.pod)
        assert "getppid" not in by_name(anew)  # what was counted is of this pod, here
    finally:
        load.close()


def test_a_closed_pod_has_no_counts(place: Path):
    pod = Pod("closed")
    pod.close()
    with pytest.raises(Exception, match="closed"):
        counts(pod)

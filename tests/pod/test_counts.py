"""How often a pod stopped for the tracer is counted, by call, and shown to people."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from harness.supervisors import eventually
from harness.world import built, require_clone3
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.counts import Counts, counts
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore

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
    null, out = os.open(os.devnull, os.O_RDWR), os.open(place / "out", os.O_WRONLY | os.O_CREAT)
    stdio = Stdio(null, out, out, tty=False)
    env = {"PATH": os.environ["PATH"]}
    pod = Pod.launch(["/usr/bin/python3", "-c", SCRIPT], name="counts", env=env, stdio=stdio)
    try:
        eventually(lambda: "counted" in (place / "out").read_text())
        told = pod.call(counts, pod)
        calls = by_name(told)
        assert calls["getppid"][0] >= 7 and calls["getppid"][2] >= 7
        assert calls["kill"][0] == 1
        assert "read" not in calls and "write" not in calls  # they never stop
        assert told.stops["birth"] == 3 and told.stops["signal"] >= 1
        looked = told.stops["call entry"] + told.stops["looked at"]
        assert looked == sum(entered for entered, _, _ in calls.values())
        stops = [c.entered + c.left for c in told.calls]
        assert stops == sorted(stops, reverse=True)
        checkpoint(pod, DirectorySink(place / "image"), then="stop")
        pod.close()
        with contextlib.closing(Image.open(place / "image")) as image:
            pod = restore(image, stdio=stdio)
        anew = pod.call(counts, pod)
        assert "getppid" not in by_name(anew)  # what was counted is of this pod, here
    finally:
        pod.kill()
        pod.close()
        os.close(null)
        os.close(out)


THREADS = """
import ctypes, os, threading, time
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(435, 0, 0) == -1 and ctypes.get_errno() == 22
asked = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)
child = libc.syscall(435, asked, 88)
if child == 0:
    os._exit(3)
assert os.waitpid(child, 0) == (child, 3 << 8)
for _ in range(9):
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
print('counted', flush=True)
time.sleep(600)
"""


def counted_of(script: str, place: Path) -> Counts:
    null, out = os.open(os.devnull, os.O_RDWR), os.open(place / "out", os.O_WRONLY | os.O_CREAT)
    env = {"PATH": os.environ["PATH"]}
    argv = ["/usr/bin/python3", "-c", script]
    try:
        with Pod.launch(argv, name="counts", env=env, stdio=Stdio(null, out, out)) as pod:
            eventually(lambda: "counted" in (place / "out").read_text())
            return pod.call(counts, pod)
    finally:
        os.close(null)
        os.close(out)


def test_a_thread_is_made_without_a_stop_for_clone3(place: Path):
    """The C library makes it by clone(2) then; who calls clone3 himself has it, as without a pod."""
    require_clone3()
    told = counted_of(THREADS, place)
    assert by_name(told)["clone3"][0] == 2
    assert told.stops["birth"] == 10


EXECUTED = """
#include <stdio.h>
#include <string.h>
int main(void) {
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
            printf("%s", line + 24);
}
"""


def test_a_program_stops_three_times_to_begin(place: Path):
    """At its exec event, when the region of the stub is mapped, and when the stub is laid; once before as
    a newborn. Each is a switch; if it has waited for something else as well, another run tells."""
    source, program = place / "executed.c", place / "executed"
    source.write_text(EXECUTED)
    built("cc", "-O1", "-o", program, source)
    script = f"""
import subprocess, time
runs = [subprocess.run([{str(program)!r}], stdout=subprocess.PIPE).stdout for _ in range(20)]
print(*sorted(map(int, runs)), 'counted', flush=True)
time.sleep(600)
"""
    counted_of(script, place)
    least = int((place / "out").read_text().split()[0])
    assert least == 4


def test_a_closed_pod_has_no_counts(place: Path):
    pod = Pod("closed")
    pod.close()
    with pytest.raises(Exception, match="closed"):
        counts(pod)

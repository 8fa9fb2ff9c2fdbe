"""What a supervisor needs of memory: no copy of the pod, which a container's limit leaves no room for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.world import PATIENCE_S, ROOT, environment

POD_MIB, MOST_MIB = 128, 32

FILLED = f"""
import mmap, os, sys, time
kind, size = sys.argv[1], {POD_MIB} << 20
if kind == "memfd":
    os.ftruncate(fd := os.memfd_create("m"), size)
    memory = mmap.mmap(fd, size)
else:
    sharing = mmap.MAP_PRIVATE if kind == "private" else mmap.MAP_SHARED
    memory = mmap.mmap(-1, size, sharing | mmap.MAP_ANONYMOUS)
block = os.urandom(1 << 20)
for at in range(0, size, 1 << 20):
    memory[at : at + (1 << 20)] = block
os.write(1, b"x")
time.sleep(1000)
"""

SUPERVISOR = """
import os, re, sys
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) >> 10

null, (told, tell) = os.open("/dev/null", os.O_RDWR), os.pipe()
pod = Pod.launch(["python3", "-c", *sys.argv[1:]], name="big", stdio=Stdio(null, tell, null))
os.read(told, 1)
before = peak()
checkpoint(pod, DirectorySink("image"), then="stop")
captured = peak()
pod.close()
with Image.open("image") as image:
    pod = restore(image, stdio=Stdio(null, tell, null))
print(captured - before, peak() - before)
pod.kill()
pod.close()
"""


@pytest.mark.parametrize("kind", ["private", "shared", "memfd"])
def test_no_copy_of_the_pod(kind: str, place: Path):
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, FILLED, kind],
        env=environment(PYTHONPATH=str(ROOT)),
        cwd=place, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    captured, restored = map(int, done.stdout.split())
    assert captured < MOST_MIB and restored < MOST_MIB
    assert sum(f.stat().st_size for f in (place / "image").iterdir()) > POD_MIB << 20

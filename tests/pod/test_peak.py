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


HOLES = """
import mmap, os, time
size = 1 << 30
os.ftruncate(fd := os.memfd_create("m"), size)
both = [mmap.mmap(fd, size), mmap.mmap(-1, size, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)]
for memory in both:
    for at in (0, size // 2, size - 1):
        memory[at] = 1
os.write(1, b"x")
time.sleep(1000)
"""

LOOKER = """
import os, sys
from zaptrace.image.sink import DirectorySink
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio

def shared(pid):
    held = "".join(open(f"/proc/{pid}/status").readlines()).partition("RssShmem:")[2].split()[0]
    links = [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
    return int(held), sum(os.stat(p).st_blocks for p in links if "memfd" in os.readlink(p))

null, (told, tell) = os.open("/dev/null", os.O_RDWR), os.pipe()
pod = Pod.launch(["python3", "-c", sys.argv[1]], name="holes", stdio=Stdio(null, tell, null))
os.read(told, 1)
(process,) = pod.processes()
before = shared(process.rpid)
checkpoint(pod, DirectorySink("image"), then="resume")
print(*before, *shared(process.rpid))
pod.kill()
pod.close()
"""


def test_what_was_never_written_takes_no_memory(place: Path):
    """To read a hole of shared memory would fill it."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKER, HOLES],
        env=environment(PYTHONPATH=str(ROOT)),
        cwd=place, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    resident, blocks, resident_then, blocks_then = map(int, done.stdout.split())
    assert blocks > 0 and (resident_then, blocks_then) == (resident, blocks)
    assert sum(f.stat().st_size for f in (place / "image").iterdir()) < 32 << 20

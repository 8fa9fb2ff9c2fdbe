"""Work that survives its end: each run goes on from the last image.

    python3 survive.py DIRECTORY        again and again, until it says that the sum is there

The pod adds for a while and is stopped by a checkpoint; the next run restores it and it goes on, as if
nothing had been. The program itself knows nothing of that.
"""

import sys
from pathlib import Path

import zaptrace

PROGRAM = """
import time
total = 0
for number in range(1, 41):
    total += number
    print(number, total, flush=True)
    time.sleep(0.05)
"""
SLICE_S = 0.5

directory = Path(sys.argv[1])
images = sorted(directory.glob("*.zap"))
if images:
    pod = zaptrace.restore(images[-1], name="sum")
else:
    pod = zaptrace.launch([sys.executable, "-c", PROGRAM], name="sum")
try:
    outcome = pod.wait(timeout=SLICE_S)
except TimeoutError:
    report = pod.checkpoint(directory / f"{len(images):03}.zap", stop=True)
    print(f"saved: {report.image}")
else:
    print(f"done: {pod.logs().split()[-1]}, exit status {outcome.returncode}")

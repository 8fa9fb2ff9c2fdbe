"""Work that survives its end: each run goes on from the last image.

    python3 survive.py DIRECTORY        again and again, until it says that the sum is there

The pod adds for a while and is stopped by a checkpoint; the next run restores it and it goes on, as if
nothing had been. The program itself knows nothing of that.
"""

import sys
from pathlib import Path

import zaptrace
from zaptrace.errors import PodError, TraceeGone

PROGRAM = """
import time
total = 0
for number in range(1, 21):
    total += number
    time.sleep(0.3)
open("sum", "w").write(str(total))
"""
SLICE_S = 1.0

directory = Path(sys.argv[1])
images = sorted(directory.glob("*.zap"))
if images:
    pod = zaptrace.restore(images[-1], name="sum")
else:
    pod = zaptrace.launch([sys.executable, "-c", PROGRAM], name="sum", cwd=directory)
try:
    outcome = pod.wait(timeout=SLICE_S)
except TimeoutError:
    try:
        report = pod.checkpoint(directory / f"{len(images):03}.zap", stop=True)
    except (TraceeGone, PodError):
        outcome = pod.wait(timeout=10)  # it has ended just now
    else:
        print(f"saved: {report.image}")
        sys.exit(0)
print(f"done: {(directory / 'sum').read_text()}, exit status {outcome.returncode}")

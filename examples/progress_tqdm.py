"""A checkpoint with a bar of tqdm: python3 progress_tqdm.py [DIRECTORY]"""

import sys
import tempfile

from tqdm import tqdm

import zaptrace

directory = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
with (
    zaptrace.launch([sys.executable, "-c", "import time; time.sleep(600)"], on_exit="stop") as pod,
    tqdm(unit="B", unit_scale=True) as bar,
):

    def show(progress: zaptrace.Progress) -> None:
        bar.total = progress.total
        bar.set_description(progress.step, refresh=False)
        bar.update(progress.done - bar.n)

    report = pod.checkpoint(f"{directory}/tqdm.zap", progress=show)
print(f"{report.image}: {report.bytes} bytes, downtime {report.downtime_s * 1000:.1f} ms")

"""A checkpoint with a bar of rich: python3 progress_rich.py [DIRECTORY]"""

import sys
import tempfile

from rich.progress import Progress

import zaptrace

directory = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
with (
    zaptrace.launch([sys.executable, "-c", "import time; time.sleep(600)"], on_exit="stop") as pod,
    Progress() as bars,
):
    task = bars.add_task("checkpoint", total=None)

    def show(progress: zaptrace.Progress) -> None:
        bars.update(task, description=progress.step, completed=progress.done, total=progress.total)

    report = pod.checkpoint(f"{directory}/rich.zap", progress=show)
print(f"{report.image}: {report.bytes} bytes, downtime {report.downtime_s * 1000:.1f} ms")

"""How long checkpoint and restore take, next to `cp` of as many bytes on the same tmpfs.

python -m bench.checkpoint_speed [small|gib|processes|threads ...]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .common import (
    Line,
    asked,
    compiled,
    launch,
    ms,
    report,
    restored,
    scratch,
    timed,
    wait_for_ready,
)

CASES = {
    "small": (["bytes", "0"], 15),
    "gib": (["bytes", "1024"], 3),
    "processes": (["processes", "200"], 3),
    "threads": (["threads", "1000"], 3),
}
"""Arguments of programs/load.c, and how many rounds."""


def peak_mib() -> float:
    """The most memory that this process ever had resident, since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def size_of(image: Path) -> int:
    return sum(path.stat().st_size for path in image.rglob("*") if path.is_file())


def copy_plainly(source: Path, target: Path) -> float:
    took, _ = timed(subprocess.run, ["cp", "-r", source, target], check=True)
    shutil.rmtree(target)
    return took


def fork_plainly() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)


def measure(names: Sequence[str] = tuple(CASES)) -> list[Line]:
    return [line for name in names for line in measure_one(name)]


def measure_one(name: str, rounds: int | None = None) -> list[Line]:
    """One case: save, then stop, then restore, as often as it says."""
    from zaptrace.image.sink import DirectorySink
    from zaptrace.pod.checkpoint import checkpoint

    load, usual = CASES[name]
    small = name == "small"
    rival = "fork and exec of /bin/true" if small else "cp of the image, same tmpfs"
    save = Line(f"checkpoint {name}", "ms", rival=rival)
    back = Line(f"restore {name}", "ms", rival=rival)
    down: list[float] = []
    with scratch() as place:
        out = place / "out"
        pod = launch([compiled("load"), *load], out)
        try:
            wait_for_ready(out)
            forget_peak()
            for n in range(rounds or usual):
                image = place / f"image-{n}"
                took, saved = timed(checkpoint, pod, DirectorySink(image), then="hold")
                save.ours.append(took)
                down.append(1e3 * saved.downtime_s)
                pod.kill()
                pod.close()
                plain = ms(fork_plainly) if small else copy_plainly(image, place / "copy")
                save.theirs.append(plain)
                back.theirs.append(plain)
                took, pod = timed(restored, image)
                back.ours.append(took)
                save.facts["image_mib"] = round(size_of(image) / 2**20, 2)
                shutil.rmtree(image)
            back.facts["peak_mib"] = round(peak_mib(), 1)
            save.facts["downtime_ms"] = round(sorted(down)[len(down) // 2], 2)
        finally:
            pod.kill()
            pod.close()
    return [save, back]


def main(argv: Sequence[str] = ()) -> None:
    report("checkpoint_speed", measure(asked(argv, list(CASES))))


if __name__ == "__main__":
    main(sys.argv[1:])

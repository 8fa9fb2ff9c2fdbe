"""Suspend and resume, and how much is kept meanwhile."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from ..experiment import Experiment, Figure
from ..system import Inside, Load, WrongError
from ..ticks import Ticks
from ..tools import load as load_of
from ..tools import ms, timed

CASES = {
    "small process": (["load", "bytes", "0"], 9),
    "128 MiB": (["load", "bytes", "128"], 5),
    "1 GiB": (["load", "bytes", "1024"], 3),
    "200 processes": (["load", "processes", "200"], 5),
    "1,000 threads": (["load", "threads", "1000"], 5),
    "shell, vim and a job": (["shell.py"], 5),
    "web server, 100 clients": (["web.py", "100"], 3),
    "web server, 1,000 clients": (["web.py", "1000"], 3),
    "database after pgbench": (["database.py"], 3),
    "desktop with a browser": (["desktop.py"], 3),
    "notebook of 500 MiB": (["notebook.py", "500"], 3),
}
"""A load (tools.load) with its arguments, and how many rounds."""
QUICK = ("small process",)
MIB = 2**20
_START_S = 600.0
"""What an application may take until it is there, emulated."""


def compressed(state: Path) -> int:
    """Bytes of all of it in one zstd stream, level 1."""
    tar = subprocess.Popen(["tar", "-C", state, "-cf", "-", "."], stdout=subprocess.PIPE)
    import zstandard

    total = 0
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with tar:
        assert tar.stdout
        while part := tar.stdout.read(MIB):
            total += len(packer.compress(part))
    return total + len(packer.flush())


class Suspend(Experiment):
    name = "suspend"
    title = "Suspend, resume, and the state between"
    share = 5.0
    about = (
        "bench/programs/load.c counts every 2 ms and looks at all that it holds again and again; "
        "applications (bench/loads) are asked something by a client within, which counts the answers. "
        "suspend: from the request until the state is on disk (a tmpfs) and the load is gone. "
        "silent: of that, the time after its last number. resume: from the request until it says "
        "the next number. A sample counts when the numbers went on without a gap and all that it "
        "holds was looked at afterwards. copy: `cp -r` of the state, at the same place. The time in "
        "which it did not run is silent and resume together."
    )

    def cases(self, quick: bool) -> list[str]:
        return [*QUICK] if quick else [*CASES]

    def rounds_of(self, case: str) -> int:
        return CASES[case][1]

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        state = place / "state"
        load = inside.start(load_of(*CASES[case][0]))
        try:
            ticks = Ticks(load.out, load.ended)
            ticks.next(_START_S)
            yield from self._there_and_back(load, ticks, state)
        finally:
            load.close()
        yield Figure("copy", ms(self._copy, state), "ms")
        yield Figure("compressed", compressed(state) / MIB, "MiB")

    def _there_and_back(self, load: Load, ticks: Ticks, state: Path) -> Iterable[Figure]:
        took, _ = timed(load.suspend, state)
        ended = time.time()
        ticks.look()
        silent = 1e3 * (ended - ticks.last_said())
        before = ticks.count
        began = time.perf_counter()
        if ticks.look():
            raise WrongError(f"it counted from {before} to {ticks.count} when it was suspended")
        load.resume(state)
        ticks.next()
        back = 1e3 * (time.perf_counter() - began)
        ticks.everything()
        yield Figure("suspend", took, "ms")
        yield Figure("silent", silent, "ms")
        yield Figure("resume", back, "ms")
        yield Figure("state", load.size(state) / MIB, "MiB")

    @staticmethod
    def _copy(state: Path) -> None:
        subprocess.run(["cp", "-r", state, f"{state}-copy"], check=True)
        shutil.rmtree(f"{state}-copy")

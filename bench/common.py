"""Samples, ratios, the table and the JSON of a measurement; pods to measure.

A measurement is a list of `Line`s. Each is one number of ours as min/median/max over some rounds,
and the same of a rival that does the plain thing, measured in turns with ours so that a slow moment
of the machine hits both. The ratio is median to median: 2.0 means that we take twice as long.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PROGRAMS = ROOT / "bench" / "programs"


@dataclass
class Line:
    """One row of a table; samples are in `unit`, smaller is better."""

    name: str
    unit: str
    ours: list[float] = field(default_factory=list)
    rival: str = ""
    theirs: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        if not self.theirs or not statistics.median(self.theirs):
            return None
        return statistics.median(self.ours) / statistics.median(self.theirs)


def timed(action: Callable[..., T], *args: Any, **options: Any) -> tuple[float, T]:
    """How many milliseconds the call takes, and what it returns."""
    began = time.perf_counter()
    result = action(*args, **options)
    return 1e3 * (time.perf_counter() - began), result


def ms(action: Callable[..., Any], *args: Any) -> float:
    """How many milliseconds the call takes."""
    return timed(action, *args)[0]


def spread(samples: Sequence[float]) -> str:
    low, middle, high = min(samples), statistics.median(samples), max(samples)
    return f"{low:9.2f} {middle:9.2f} {high:9.2f}"


def report(name: str, lines: Sequence[Line]) -> None:
    """Print the table, and write it to bench/results/NAME.json."""
    print(f"\n{name}: min / median / max")
    for line in lines:
        print(f"  {line.name:<34} {spread(line.ours)} {line.unit}")
        if line.theirs:
            ratio = f"   we take {line.ratio:.2f} times that"
            print(f"    {line.rival:<32} {spread(line.theirs)} {line.unit}{ratio}")
        for key, value in line.facts.items():
            print(f"    {key}: {value}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    plain = {
        "name": name,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": {"kernel": platform.release(), "cpus": os.cpu_count(), "uid": os.geteuid()},
        "lines": [asdict(line) | {"ratio": line.ratio} for line in lines],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(plain, indent=1) + "\n")


def compiled(name: str) -> Path:
    """The program made of bench/programs/NAME.c."""
    source, target = PROGRAMS / f"{name}.c", ROOT / "build" / "bench" / name
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread", "-o", target, source]
        subprocess.run(command, check=True)
    return target


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory on a tmpfs where there is one; gone afterwards."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="zt-bench-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Late(Exception):
    """A time limit struck: there is no number, and this says whose."""


def until(
    condition: Callable[[], bool], what: str, patience_s: float = 120.0, *, pause: float
) -> None:
    """Until `condition()` holds, looked at every `pause` seconds; raises Late."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise Late(f"{what} did not come about in {patience_s:.0f} s")
        time.sleep(pause)


def wait_for_ready(out: Path, patience_s: float = 120.0) -> None:
    until(lambda: "ready" in out.read_text(), f"ready in {out}", patience_s, pause=0.005)


def asked(argv: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names on a command line, all when there is none; SystemExit for one that is unknown."""
    if unknown := [name for name in argv if name not in known]:
        raise SystemExit(
            f"bench: nothing is called {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return list(argv or known)


@contextlib.contextmanager
def files(out: Path) -> Iterator[tuple[int, int]]:
    """/dev/null to read, and `out` to write."""
    null = os.open("/dev/null", os.O_RDWR)
    written = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        yield null, written
    finally:
        os.close(null)
        os.close(written)


def launch(argv: Sequence[str | Path], out: Path, name: str = "bench") -> Any:
    """A pod whose output goes to `out`."""
    from zaptrace.pod.pod import Pod, Stdio

    with files(out) as (null, written):
        return Pod.launch(
            [str(a) for a in argv],
            name=name,
            cwd=str(out.parent),
            env={"PATH": os.environ["PATH"]},
            stdio=Stdio(null, written, written, tty=False),
        )


def restored(image: Path, **options: Any) -> Any:
    """A pod made of an image, verified first as every restore does."""
    from zaptrace.image.image import Image
    from zaptrace.pod.pod import Stdio
    from zaptrace.pod.restore import restore

    with files(Path(os.devnull)) as (null, _), contextlib.closing(Image.open(image)) as opened:
        return restore(opened, stdio=Stdio(null, null, null, tty=False), **options)


@contextlib.contextmanager
def pod(argv: Sequence[str | Path], place: Path) -> Iterator[Any]:
    """A pod that has said ready; killed afterwards."""
    out = place / "out"
    it = launch(argv, out)
    try:
        wait_for_ready(out)
        yield it
    finally:
        it.kill()
        it.close()

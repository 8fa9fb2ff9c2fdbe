"""What experiments and systems need of this host: programs of ours, places, time limits."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from . import asroot
from .system import PATIENCE_S, LateError, RefusedError

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "bench" / "programs"
ZAPTRACE = str(Path(sys.executable).with_name("zaptrace"))
LOADS = ROOT / "bench" / "loads"
BUILT = ROOT / "build" / "bench"
_AGAIN_S = 60.0


def timed(action: Callable[..., T], *args: Any, **options: Any) -> tuple[float, T]:
    """How many milliseconds the call takes, and what it returns."""
    began = time.perf_counter()
    result = action(*args, **options)
    return 1e3 * (time.perf_counter() - began), result


def ms(action: Callable[..., Any], *args: Any) -> float:
    """How many milliseconds the call takes."""
    return timed(action, *args)[0]


def compiled(name: str) -> str:
    """The path of the program made of bench/programs/NAME.c."""
    source, target = PROGRAMS / f"{name}.c", BUILT / name
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread", "-o", target, source]
        subprocess.run(command, check=True)
    return str(target)


def load(name: str, *words: str) -> list[str]:
    """What runs a load: of bench/programs when it has no suffix, else of bench/loads, which are put
    beside what is built, where every system finds them."""
    if not name.endswith(".py"):
        return [compiled(name), *words]
    target = BUILT / "loads"
    target.mkdir(parents=True, exist_ok=True)
    for source in LOADS.glob("*.py"):
        if (
            not (there := target / source.name).exists()
            or there.read_bytes() != source.read_bytes()
        ):
            shutil.copy(source, there)
    return ["/bin/sh", "-c", _PYTHON, sys.executable, str(target / name), *words]


_PYTHON = """p=/usr/bin/python3
"$0" -c 'import ipykernel' 2>/dev/null && p=$0
exec $p -u "$@"
"""
"""Ours where it is there and has what a notebook needs; else the distribution's."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory on a tmpfs where there is one, that all may enter; gone afterwards."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="zt-bench-", dir=base))
    path.chmod(0o755)
    try:
        yield path
    finally:
        discard(path)


def discard(path: Path) -> None:
    """A directory with all that is in it, also what root has made there for us."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists() and asroot.offered():
        asroot.run(["rm", "-rf", "--", path])


@contextlib.contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """LateError in the midst of whatever it is that takes longer, and again when that hangs, too."""

    def strike(*_: object) -> None:
        raise LateError(f"{what} took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def until(
    condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S, *, pause: float
) -> None:
    """Until `condition()` holds, looked at every `pause` seconds; raises LateError."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise LateError(f"{what} did not come about in {patience_s:.0f} s")
        time.sleep(pause)


def wait_for(word: str, out: Path, patience_s: float = PATIENCE_S) -> None:
    """Until that is among what was written there."""
    until(
        lambda: out.exists() and word in out.read_text(errors="replace"),
        f"{word} in {out}", patience_s, pause=0.005,
    )  # fmt: skip


def wait_for_ready(out: Path, patience_s: float = PATIENCE_S) -> None:
    wait_for("ready", out, patience_s)


def ended_well(argv: Sequence[str], patience_s: float = PATIENCE_S, **options: Any) -> str:
    """What a command writes; RefusedError when it fails, with what it said."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=patience_s,
            check=False, **options,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LateError(f"the end of {' '.join(argv)} did not come in {patience_s:.0f} s") from None
    if done.returncode:
        raise RefusedError(last_words(done.stderr or done.stdout) or f"status {done.returncode}")
    return done.stdout


def last_words(said: str, lines: int = 3) -> str:
    """The end of what a program said, in one line."""
    kept = [line.strip() for line in said.splitlines() if line.strip()][-lines:]
    return " / ".join(kept)[-300:]


def first_line(argv: Sequence[str]) -> str:
    """Of what a command says, such as its version."""
    done = subprocess.run(
        argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=60
    )
    return next(iter((done.stdout or done.stderr).splitlines()), "")

"""What the harness stands on: directories, processes, programs, and the patience of a test."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from zaptrace.linux import cpu, native
from zaptrace.linux.native import NativeError
from zaptrace.linux.procfs import status
from zaptrace.resources.common import huge

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
PROGRAMS = TESTS / "programs"
REAL = TESTS / "real" / "programs"

SEED = int(os.environ.get("ZAPTRACE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
ASAN = bool(os.environ.get("ZAPTRACE_TEST_ASAN"))
PATIENCE_S = float(os.environ.get("ZAPTRACE_TEST_PATIENCE_S") or (150.0 if ASAN else 60.0))
"""ZAPTRACE_TEST_PATIENCE_S: for a machine that is much slower than others."""

told: list[str] = []
"""What the test that runs now should show beside its result; conftest.py takes it from here."""


class FlavourError(AssertionError):
    """What a program in a flavour did that it should not have done, with all that is known."""


def make_place() -> Path:
    """A new directory with a short path; whoever makes it removes or keeps it."""
    return Path(tempfile.mkdtemp(prefix="zt-", dir=os.environ.get("TMPDIR", "/tmp")))


def remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def kept_at(path: Path) -> Path:
    """Where `keep` puts a place: ZAPTRACE_TEST_KEEP outlives the user that as_user.sh makes."""
    where = os.environ.get("ZAPTRACE_TEST_KEEP")
    return Path(where) / path.name if where else path


def keep(path: Path) -> None:
    """What a failed test leaves, for whoever looks into it."""
    if kept_at(path) != path:
        shutil.move(path, kept_at(path))


def children() -> list[int]:
    """Our child processes, adopted orphans included; zombies too."""
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/self/task/{task}/children").read_text().split())
    return found


waited: set[int] = set()
"""Children that a Popen of ours waits for; `reap` leaves them alone."""
staying: set[int] = set()
"""Those among them that live as long as pytest does, whichever test it was that they began with."""
serving: set[str] = set()
"""Homes of host servers among these: each has a supervisor waiting for the next pod."""
staying_open: set[int] = set()
"""Descriptors that belong to any of these."""
at_end = contextlib.ExitStack()
"""What closes them, and whatever else lives that long."""


def left_since(before: set[int]) -> set[int]:
    """Children that were not there before, and that nobody wants to stay."""
    return {pid for pid in set(children()) - before - staying if not _waits_for_a_pod(pid)}


def _waits_for_a_pod(pid: int) -> bool:
    try:
        argv, env = (Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ"))
    except OSError:
        return False
    home = next((e[5:].decode() for e in env.split(b"\0") if e.startswith(b"HOME=")), "")
    return home in serving and b"waiting" in argv


def reap() -> None:
    """Bury the orphans that we adopted."""
    for pid in children():
        if pid not in waited:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def end(pid: int) -> None:
    """Kill a child that should not be there any more, and bury it."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def describe(pid: int) -> str:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, UnicodeDecodeError):
        return f"  {pid}, gone by now"
    return f"  {pid} {argv} {state}"


def descriptors() -> set[int]:
    """Those of this process; not that by which they are listed, which is gone then."""
    return {int(fd) for fd in os.listdir("/proc/self/fd") if describe_descriptor(int(fd))}


def describe_descriptor(fd: int) -> str:
    """Empty where it is not open any more."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, itself not included."""
    found: list[int] = []
    below = [pid]
    while below:
        parent = below.pop()
        for task in _entries(f"/proc/{parent}/task"):
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{parent}/task/{task}/children").read_text()
                below += (kids := [int(kid) for kid in text.split()])
                found += kids
    return found


def _entries(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def require(program: str, package: str | None = None) -> str:
    """The path of a program that a test needs. Missing, it skips here and fails in CI."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        said = f"{program} is not installed: apt-get install {package or program}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return path


def require_kcmp() -> None:
    """Skip a test of what kcmp(2) tells where a container's profile denies it: there nobody asks."""
    us = os.getpid()
    try:
        native.kcmp_files(us, 0, us, 0)
    except NativeError as error:
        pytest.skip(f"{error.what}; the other way is tested")


def require_mbind() -> None:
    """Skip what takes mbind(2) where a container's profile denies it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(237, 0, 0, 0, 0, 0, 0) and ctypes.get_errno() == errno.EPERM:
        pytest.skip("mbind is denied here, to programs as well")


def require_unshare() -> None:
    """Skip what takes unshare(2) where a container's profile denies it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0) and ctypes.get_errno() == errno.EPERM:
        pytest.skip("unshare is denied here, to programs as well")


_HUGE = 2 << 20
_ENOUGH_HUGE_PAGES = 40
"""For a pod, its former self and what is restored beside, with another test at the same time."""


def require_huge_pages() -> None:
    """Skip what takes huge pages where the host has none (vm.nr_hugepages)."""
    if (free := huge.available(_HUGE)) < _ENOUGH_HUGE_PAGES:
        pytest.skip(
            f"the host has {free} free huge pages of 2 MiB (vm.nr_hugepages), and this test wants "
            f"{_ENOUGH_HUGE_PAGES}"
        )


_TILE_DATA = 18


def require_tiles() -> None:
    """Skip what takes Intel AMX where the processor has none, or the kernel does not know it."""
    if _TILE_DATA not in cpu.layout().where:
        pytest.skip("the processor has no tiles (Intel AMX)")


def require_pidfd_getfd() -> None:
    """Skip what takes pidfd_getfd(2) where a container's profile denies it."""
    try:
        os.close(native.get_fd(os.getpid(), 0))
    except NativeError as error:
        pytest.skip(f"{error.what}; to do without is tested in test_descriptions.py")


def require_clone3() -> None:
    """Skip a test of clone3(2) where a container's profile says that there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_CLONE3, 0, 0) == -1 and ctypes.get_errno() == errno.ENOSYS:
        pytest.skip("clone3 is denied here, with ENOSYS: programs do without it")


_CLONE3 = 435


_AS_ROOT = ("CAP_SETGID", 6), ("CAP_SETUID", 7), ("CAP_SETPCAP", 8), ("CAP_SYS_PTRACE", 19)


def require_root(*more: tuple[str, int]) -> None:
    """Skip what takes programs of root's that become others, and a tracer that may look at these."""
    may = int(status(os.getpid())["CapEff"], 16)
    if lacking := [name for name, bit in (*_AS_ROOT, *more) if not may >> bit & 1]:
        pytest.skip(f"this takes root with {', '.join(lacking)}")


def environment(**more: str) -> dict[str, str]:
    """What programs in pods get: little, and nothing of a sanitizer's."""
    keep = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    return {**env, "LANG": "C.UTF-8", "TERM": "xterm", **more}


def python() -> str:
    """A Python for programs in pods: the system's own where there is one."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


@contextlib.contextmanager
def only_one(target: Path) -> Iterator[Path]:
    """`target`'s place exists, and no other pytest worker is making it: a running program's file
    must not be replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f".{target.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield target


def compiled(source: Path, *flags: str, cc: str = "cc") -> Path:
    """The program made of one C file; made once for all pytest workers, remade when it changed."""
    name = "-".join([source.stem, cc, *(f.strip("-").replace("/", "_") for f in flags)])
    newest = max(p.stat().st_mtime for p in [source, *source.parent.glob("*.h")])
    with only_one(ROOT / "build" / "programs" / name) as target:
        if not target.exists() or target.stat().st_mtime < newest:
            command = [cc, "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-pthread", *flags]
            command += ["-o", str(target), str(source), "-lrt", "-lm"]
            built(*command)
    return target


def built(*command: str | Path, **env: str) -> None:
    """Run a compiler."""
    words = list(map(str, command))
    done = subprocess.run(
        words, env=environment(**env), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"


def sorted_lines(text: str) -> str:
    """For programs whose lines come in no particular order."""
    return "\n".join(sorted(text.splitlines()))

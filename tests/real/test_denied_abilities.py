"""What a kernel, or a container's profile, lacks: there is another way, or a refusal that names it.

Each is denied by a filter, with the errno of a kernel that does not have it; what the container's
profile denies besides, tests/real/test_container.py looks at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.hosts import Host, cli
from harness.supervisors import eventually
from harness.world import PATIENCE_S, PROGRAMS, ROOT, TESTS, compiled, python

CONTAINER = TESTS / "harness" / "container.py"

NO_TIMER_IDS = "prctl:77=EINVAL"
NO_GUARDS = "madvise@2:102=EINVAL"
NO_PAGEMAP_SCAN = "ioctl@1:0xC0606610=ENOTTY"
NO_PIDFDS_OF_THREADS = "pidfd_open@1:0x80=EINVAL"
NO_CPUID_FAULTING = "arch_prctl:0x1012=ENODEV"
NO_CLOSE_RANGE = "close_range=EPERM"
NO_TXREHASH = "setsockopt@2:74=ENOPROTOOPT"
NO_BUF_LOCK = "setsockopt@2:72=ENOPROTOOPT"


def zaptrace(host: Host, denied: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A verb; with something denied, in a container that denies it."""
    denials = [word for one in denied.split() for word in ("--deny", one)]
    within = [sys.executable, str(CONTAINER), *denials] if denied else []
    return subprocess.run(
        [*within, *cli(), *map(str, words)],
        env={**os.environ, **host.env, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
        cwd=host.home, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def well(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def host(place: Path):
    host = Host(place, "a")
    yield host
    host.close()


def stored(host: Host, program: str, denied: str = "", *options: str) -> Path:
    """The image of a program that waits, made where something is denied."""
    image, command = host.home / "image", compiled(PROGRAMS / f"{program}.c")
    go = f"ZT_GO={host.home / 'go'}"
    well(zaptrace(host, denied, "run", "-d", "--name", "it", *options, "--", "env", go, command))
    eventually(lambda: "ready" in well(zaptrace(host, "", "logs", "it")))
    well(zaptrace(host, "", "checkpoint", "it", "--to", image, "--stop"))
    return image


def passes(host: Host, image: Path, denied: str = "") -> None:
    well(zaptrace(host, denied, "restore", image, "-d"))
    (host.home / "go").touch()
    assert "PASS" in well(zaptrace(host, "", "logs", "it", "--follow"))


@pytest.mark.parametrize("program", ["posix_timer", "cpu_timers"])
def test_timers_by_number(program: str, host: Host):
    """They are made until the number comes."""
    passes(host, stored(host, program), NO_TIMER_IDS)


def test_socket_options(host: Host):
    """What an older kernel does of itself is not missed there."""
    passes(host, stored(host, "tcp_established"), f"{NO_TXREHASH} {NO_BUF_LOCK}")


@pytest.mark.parametrize("program", ["scattered_pages", "guard_pages", "cow_relatives"])
def test_scanning_pages(program: str, host: Host):
    """Page by page."""
    passes(host, stored(host, program, NO_PAGEMAP_SCAN), NO_PAGEMAP_SCAN)


@pytest.mark.parametrize(
    ("program", "denied", "named"),
    [
        ("guard_pages", NO_GUARDS, "needed   guard pages (MADV_GUARD_INSTALL, Linux 6.13)"),
        ("pidfd_threads", NO_PIDFDS_OF_THREADS, "restore it on a host with Linux 6.9 or newer"),
        ("inet_options", NO_TXREHASH, "found    SO_TXREHASH: Protocol not available"),
    ],
)
def test_what_cannot_be_made_here(program: str, denied: str, named: str, host: Host):
    """The restore is refused by name, and the image is good elsewhere."""
    image = stored(host, program)
    refused = zaptrace(host, denied, "restore", image, "-d")
    assert refused.returncode != 0 and named in refused.stderr, refused.stderr
    assert (
        "changed  nothing" in refused.stderr and "it" not in well(zaptrace(host, "", "ps")).split()
    )
    passes(host, image)


def test_a_level_without_faulting(host: Host):
    """Its programs saw all of the processor, and go on to, also where CPUID can be a fault."""
    image = stored(host, "cpu_seen", NO_CPUID_FAULTING, "--cpu-level", "x86-64-v2")
    passes(host, image)


def test_closing_ranges(host: Host):
    """A program in a pod has no descriptor that is not its own, though ours was started with some."""
    within = [sys.executable, str(CONTAINER), "--deny", NO_CLOSE_RANGE]
    code = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int)[:-1])"
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    try:
        done = subprocess.run(
            [*within, *cli(), "run", "--", python(), "-c", code],
            env={**os.environ, **host.env, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
            pass_fds=spare, cwd=host.home, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    finally:
        for fd in spare:
            os.close(fd)
    assert well(done) == f"{['0', '1', '2']}\n"

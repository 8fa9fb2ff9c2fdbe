"""Makes a corpus of small images, which every later version has to restore (tests/image/test_corpus.py).

    .venv/bin/python scripts/corpus.py NAME        makes tests/image/corpus/NAME.tar.xz

Run it as an ordinary user, whenever the format has grown; what is there already stays as it is.

Such an image is restored on other machines, in other places, by other users, so it leans on nothing:
a program of tests/programs, linked statically, whose file is removed while it runs (so it is in the
image), with / as its working directory, kept to x86-64-v2. It waits for a file in the directory that
is its standard input, which is given anew at a restore.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from zaptrace.image.sink import DirectorySink
from zaptrace.linux import cpu
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio

ROOT = Path(__file__).resolve().parents[1]
MADE_IN = Path("/tmp/zaptrace-corpus")
"""What is open there is elsewhere when it is restored: each path in an image begins with it."""
GO = "/proc/thread-self/fd/0/go"
LEVEL = 2
PATIENCE_S = 60.0
GLIBC = ("threads",)
"""With rseq(2), and a large thread control block."""
MUSL = (
    "aio_ring", "blocked_futex", "blocked_time_left", "clocks", "cpu_timers", "epoll", "eventfd",
    "first_thread_ended", "flock_of_mapping", "fork_tree", "inotify_queue", "itimer", "memfd",
    "netlink_sockets",
    "pidfd_living", "pipe_contents", "posix_lock", "posix_timer", "pty_session", "registers",
    "regular_file", "robust_mutex", "scm_rights", "seccomp_stacked", "shared_anonymous", "sigaltstack",
    "signalfd", "socketpair", "stopped_child", "sysv_messages", "sysv_semaphores",
    "sysv_shared_memory", "tcp_established", "timerfd", "udp_queue", "unix_in_flight", "zombies",
)  # fmt: skip


def built(name: str, into: Path) -> Path:
    cc = "cc" if name in GLIBC else "musl-gcc"
    flags = ["-std=gnu11", "-O1", "-static", "-s", "-pthread"]
    if name in MUSL:  # which has no headers of the kernel's
        flags += ["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"]
    source = ROOT / "tests" / "programs" / f"{name}.c"
    subprocess.run([cc, *flags, "-o", into / name, source, "-lrt", "-lm"], check=True, timeout=600)
    return into / name


def make(name: str, place: Path) -> Path:
    place.mkdir()
    program, image = built(name, place), place / "image"
    gate = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    out = os.open(place / "out", os.O_RDWR | os.O_CREAT)
    env = {"ZT_GO": GO, "PATH": "/bin"}
    cpu.keep_to(LEVEL, env)
    stdio = Stdio(gate, out, out, tty=False)
    with Pod.launch(
        [str(program)], name=name, cwd=str(place), env=env, stdio=stdio, cpu_level=LEVEL
    ) as pod:
        deadline = time.monotonic() + PATIENCE_S
        while b"ready" not in (place / "out").read_bytes():
            if pod.wait(0.02) is not None or time.monotonic() > deadline:
                sys.exit(f"{name} said {(place / 'out').read_bytes()!r}")
        program.unlink()
        checkpoint(pod, DirectorySink(str(image)), then="stop")
    return image


def main() -> None:
    target = ROOT / "tests" / "image" / "corpus" / f"{sys.argv[1]}.tar.xz"
    MADE_IN.mkdir()
    try:
        with tarfile.open(target, "x:xz", preset=9) as tar:
            for name in sorted((*GLIBC, *MUSL)):
                image = make(name, MADE_IN / name)
                tar.add(MADE_IN / name, name)
                size = sum(path.stat().st_size for path in image.iterdir())
                print(name, size >> 10, "KiB", flush=True)
    finally:
        shutil.rmtree(MADE_IN)
    print(target, target.stat().st_size >> 10, "KiB")


if __name__ == "__main__":
    main()

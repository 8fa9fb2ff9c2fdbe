"""What a supervisor does to its own process: its log, its descriptors."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from ..linux import private
from ..log import log

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOG_MOST = 1 << 20
_ARG_START = 45
"""In /proc/PID/stat, behind the name: where the command line begins; then where it ends."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Who sends these to a supervisor wants the pod to end."""
OTHERS = (
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF),
    *(signal.SIGIO, signal.SIGPWR, signal.SIGXCPU, signal.SIGSTKFLT),
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)
"""What ends who does not know it, and is for the program of a pod if for anybody. A batch system
sends it to all processes that it finds."""


SOUGHT = signal.SIGCONT
"""Somebody looks for a supervisor, and does not find it (unreached.py)."""


def watch_signals(heard: Callable[[int], object]) -> None:
    """Have `heard` called with each of them that comes, in the main thread."""
    for number in (*ENDING, *OTHERS, SOUGHT):
        # What our starter ignores (nohup, background jobs) the pod is to inherit.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda n, _: heard(n))


def known_as(name: str, path: str, wanted: tuple[str | None, str | None]) -> None:
    """The supervisor of that pod: in the lists of processes, and with its log there.

    What is `wanted` is a file for it as well, and how much; else ZAPTRACE_LOG says how much.
    """
    entitle(name)
    file, least = wanted
    for place in filter(None, (path, file)):
        log.to(LogFile(place).write, least or os.environ.get("ZAPTRACE_LOG", "INFO"))


def entitle(what: str) -> None:
    """Be shown as `zaptrace: what` by ps(1) and top(1), where the kernel lets us."""
    title = os.fsencode(f"zaptrace: {what}")
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/comm", "wb", buffering=0) as comm:
            comm.write(title[:15])
        with open("/proc/self/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
        begin, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(begin)
            memory.write(title[: end - begin - 1].ljust(end - begin, b"\0"))


class LogFile:
    """Lines with the time; a file that has grown large is put aside, as the one old file."""

    def __init__(self, path: str, most: int = _LOG_MOST) -> None:
        self._path = path
        self._most = most
        self._lock = threading.Lock()
        self._fd = self._open()

    def write(self, level: str, text: str) -> None:
        """A line more. What a full disk does not take is lost."""
        now = time.time()
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        line = f"{when},{int(now % 1 * 1000):03d} {level} {text}\n"
        with self._lock, contextlib.suppress(OSError):
            if os.fstat(self._fd).st_size > self._most:
                os.rename(self._path, f"{self._path}.1")
                full, self._fd = self._fd, self._open()
                os.close(full)
            os.write(self._fd, line.encode(errors="backslashreplace"))

    def _open(self) -> int:
        return private.open_file(self._path, os.O_WRONLY | os.O_APPEND)


def to_background(errors: str) -> None:
    """Let go of what was given to us; what we say goes to `errors`."""
    # The pod has its stdio; were we to keep a copy, readers of its output would see no EOF.
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    ours = private.open_file(errors, os.O_WRONLY | os.O_APPEND)
    os.dup2(nothing, 0)
    os.dup2(ours, 1)
    os.dup2(ours, 2)
    for fd in (nothing, ours):
        if fd > 2:
            os.close(fd)


@contextlib.contextmanager
def umask(value: int) -> Iterator[None]:
    """Files are made with this one meanwhile, by all our threads: what is ours alone says so."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)

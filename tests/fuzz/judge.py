"""Whether what is done with one input is as it has to be: an end in time, within memory, by an error
that a user can read or by none, and no file touched outside.

Limits are of the whole process, so a worker is one of its own.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from harness.world import ASAN
from zaptrace.errors import InternalError, ZaptraceError

LIMIT_S = 20
MEMORY = (1024 if ASAN else 256) << 20
"""A sanitizer keeps what was freed, up to 256 MiB of it, and puts space around every block."""


class Hang(BaseException):
    """It took too long."""


class Outside(BaseException):
    """It touched what is none of its business."""


class Judge:
    """`with judge.input():` around what is done with an input; what is wrong with it is raised."""

    def __init__(self, home: Path) -> None:
        self.inputs = self.refused = 0
        self.slowest_s = 0.0
        self._home = os.fsencode(home)
        self._watching = False
        self._touched: list[str] = []
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGALRM, self._too_long)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))

    @contextlib.contextmanager
    def input(self) -> Iterator[None]:
        self.inputs += 1
        self._touched.clear()
        signal.alarm(LIMIT_S)
        began = time.monotonic()
        self._watching = True
        try:
            yield
        except InternalError:
            raise
        except ZaptraceError as error:
            str(error)
            self.refused += 1
        finally:
            self._watching = False
            signal.alarm(0)
            took = time.monotonic() - began
            self.slowest_s = max(self.slowest_s, took)
        if took > LIMIT_S:  # and the alarm was raised where nobody hears it, in a destructor
            raise Hang(f"{took:.0f} s")
        if self._touched:
            raise Outside(", ".join(self._touched[:5]))

    def figures(self) -> dict[str, Any]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        slowest = round(self.slowest_s, 2)
        return {
            "inputs": self.inputs,
            "refused": self.refused,
            "slowest_s": slowest,
            "peak_MiB": peak,
        }

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event == "open":
            path, _, flags = args
            writes = isinstance(flags, int) and flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC)
            if not writes or isinstance(path, int):
                return
            self._look(event, path)
        elif event in _CHANGES:
            self._look(event, args[0], args[-1])
        elif event in ("os.system", "subprocess.Popen", "os.exec", "os.fork", "os.kill"):
            self._touched.append(f"{event} {args!r:.80}")

    def _look(self, event: str, path: Any, beside: Any = -1) -> None:
        """`beside`: the descriptor of the directory that a path begins in, if it is one."""
        if isinstance(path, (str, bytes)):
            raw = os.fsencode(path)
            if not raw.startswith(b"/") and isinstance(beside, int) and beside >= 0:
                raw = os.path.join(os.readlink(b"/proc/self/fd/%d" % beside), raw)
            if not raw.startswith((self._home, b"/dev/null")):
                self._touched.append(f"{event} {raw!r:.80}")

    def _too_long(self, number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {LIMIT_S} s")


_CHANGES = (
    "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "os.utime", "shutil.rmtree", "os.unlink", "tempfile.mkdtemp",
)  # fmt: skip

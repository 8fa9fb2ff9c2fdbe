"""User-mode Linux: a kernel that is a process of this host, with this host's files as its own."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..guests.image import INIT
from ..guests.line import Line
from ..system import PATIENCE_S, Inside, LateError, RefusedError, System
from ..tools import first_line

MEMORY_MIB = 1024
_BOOT_S = 300.0


class UmlInside(Inside):
    def __init__(self, place: Path) -> None:
        self._place = place
        self._boot()

    def _boot(self) -> None:
        """Its second console is our line."""
        ours, theirs = socket.socketpair()
        with theirs, (self._place / "console").open("ab") as log:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [
                    "linux.uml", f"mem={MEMORY_MIB}M", "rootfstype=hostfs", "rootflags=/", "rw",
                    f"uml_dir={self._place}", f"init={INIT}", "quiet", "con=null",
                    "con0=null,fd:2", f"con1=fd:{fd},fd:{fd}", "--", "/dev/tty1",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[fd],
                start_new_session=True, env={**os.environ, "TMPDIR": str(self._place)},
            )  # fmt: skip
        self._line = Line(ours)
        try:
            self._line.until("@up\n", _BOOT_S)
        except (RefusedError, LateError) as error:
            self.end()
            raise RefusedError(
                f"its kernel does not come up: {self._complaint() or error}"
            ) from None
        except BaseException:
            self.end()
            raise

    def _complaint(self) -> str:
        """What the kernel said when it gave up."""
        said = (self._place / "console").read_text(errors="replace")
        return " / ".join(re.findall(r"^.*(?:anic|RIP|failed|Cannot).*$", said, re.M)[:3])

    def run(self, argv: Sequence[str], patience_s: float = PATIENCE_S) -> str:
        return self._line.run(shlex.join(argv), patience_s)

    def start_anew(self) -> tuple[float, float | None]:
        self.end()
        began = time.perf_counter()
        self._boot()
        self.run(["true"])
        return 1e3 * (time.perf_counter() - began), None

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._line.close()


class Uml(System):
    name = "uml"
    about = f"a kernel in a process of this host (User-mode Linux), {MEMORY_MIB} MiB"
    programs = ("linux.uml",)
    packages = ("user-mode-linux",)

    def version(self) -> str:
        return "Linux " + first_line(["linux.uml", "--version"])

    def supports(self, experiment: str) -> bool:
        return experiment in ("run_cost", "applications", "start")

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        inside = UmlInside(place)
        try:
            yield inside
        finally:
            inside.end()

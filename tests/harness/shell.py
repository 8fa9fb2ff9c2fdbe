"""The command line as a shell user has it: with pipes, or on a terminal that the test reads and types."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from harness.supervisors import PATIENCE_S
from harness.world import ROOT, TESTS


class Shell:
    """Runs zaptrace with a runtime directory of the test's own."""

    def __init__(self, root: Path, module: str) -> None:
        self.root = root
        self.command = [sys.executable, "-m", module]
        self.env = {
            **os.environ,
            "ZAPTRACE_RUNTIME_DIR": str(root),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)]),
            "TERM": "dumb",
            "COLUMNS": "100",
        }

    def __call__(
        self, *argv: str, text_in: str | None = None, **more: object
    ) -> subprocess.CompletedProcess[str]:
        options = {"timeout": PATIENCE_S, "cwd": "/", "env": self.env} | more
        if text_in is None:
            options["stdin"] = subprocess.DEVNULL
        return subprocess.run(
            [*self.command, *argv],
            input=text_in,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    @contextlib.contextmanager
    def start(self, *argv: str, **more: object) -> Iterator[subprocess.Popen[str]]:
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | more
        with subprocess.Popen([*self.command, *argv], text=True, env=self.env, **options) as child:
            try:
                yield child
            finally:
                if child.poll() is None:
                    child.kill()

    @contextlib.contextmanager
    def terminal(self, *argv: str, command: list[str] | None = None) -> Iterator[Screen]:
        """zaptrace, or a command, on a terminal of 30 lines and 100 columns, as its session's leader."""
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (30, 100))
        before = termios.tcgetattr(slave)
        child = subprocess.Popen(
            ["setsid", "-c", *(command or self.command), *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=self.env,
            cwd="/",
        )
        screen = Screen(master, slave, child, before)
        try:
            yield screen
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            os.close(slave)
            os.close(master)


class Screen:
    """A terminal with somebody (the test) in front of it."""

    def __init__(
        self, master: int, slave: int, child: subprocess.Popen[bytes], before: list
    ) -> None:
        self.master = master
        self.slave = slave
        self.child = child
        self.before = before
        self.shown = b""

    def look(self, seconds: float = 0.0) -> bytes:
        if select.select([self.master], [], [], seconds)[0]:
            self.shown += os.read(self.master, 65536)
        return self.shown

    def expect(self, pattern: bytes) -> None:
        """Until that is on the screen; it is then forgotten up to there."""
        deadline = time.monotonic() + PATIENCE_S
        while not (match := re.search(pattern, self.look(0.1))):
            assert time.monotonic() < deadline, (pattern, self.shown)
        self.shown = self.shown[match.end() :]

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while self.child.poll() is None:
            self.look(0.05)
            assert time.monotonic() < deadline, self.shown
        self.look()
        return self.child.returncode

    def is_cooked(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

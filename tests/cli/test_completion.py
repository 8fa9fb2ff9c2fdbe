"""The completion script of each shell, installed as its help says and used by pressing tab."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.world import require
from zaptrace.supervisor import runtime

PATIENCE_S = 60.0
TO_ITS_BEGIN = "\x01"
EVAL = 'eval "$(zaptrace completion {shell})"\n'
INSTALLED = {
    "bash": (".bashrc", EVAL.format(shell="bash")),
    "zsh": (".zshrc", EVAL.format(shell="zsh")),
    "fish": (
        ".config/fish/config.fish",
        "zaptrace completion fish > ~/.config/fish/completions/zaptrace.fish\n",
    ),
}
"""The file that each reads at its start, and what help says is to be done."""


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        (Path(path) / ".config" / "fish" / "completions").mkdir(parents=True)
        # fish would make these from all manual pages, by a process that outlives it.
        (Path(path) / ".local" / "share" / "fish" / "generated_completions").mkdir(parents=True)
        yield Path(path)


class Typed:
    """A shell at a terminal."""

    def __init__(self, shell: str, home: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {"HOME": str(home), "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8"}
        env["ZAPTRACE_RUNTIME_DIR"] = str(home / "run")
        program = require(shell)
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.chdir(home)
            os.execve(program, [shell, "-i"], env)
        self.seen = b""

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def shows(self, text: bytes) -> None:
        """Wait until it has."""
        limit = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            assert time.monotonic() < limit, f"no {text!r} in {self.seen!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.seen += os.read(self.terminal, 4096)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.mark.parametrize("shell", INSTALLED)
def test_tab(shell: str, home: Path) -> None:
    """The verb that begins so, then the one pod that there is."""
    file, line = INSTALLED[shell]
    (home / file).write_text(line)
    entry = runtime.claim("sleepy", runtime.root(home / "run"))
    typed = Typed(shell, home)
    try:
        typed.type("echo rea''dy\n")
        typed.shows(b"ready")
        typed.type("zaptrace fre\tsle\t")
        typed.type(f"{TO_ITS_BEGIN}printf '%s|' x\n")
        typed.shows(b"xzaptrace|freeze|sleepy|")
    finally:
        typed.close()
        entry.release()

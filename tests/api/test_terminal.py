"""Pod.attach: the pod's terminal is ours until it ends, or until we leave it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.hosts import Terminal
from harness.world import ROOT

ENV = {"PYTHONPATH": str(ROOT), "TERM": "dumb", "PS1": "$ "}


def test_attach_detaches_and_comes_back(home: Path):
    env = {**os.environ, **ENV}
    python = [sys.executable, "-i", "-c", "import zaptrace"]
    shell = Terminal([sys.executable, "-m", "zaptrace", "run", "--name", "sh", "sh", "-i"], env)
    try:
        shell.expect(r"\$ ")
        shell.type("echo he''re\n")
        shell.expect("here\r?\n")
        shell.type("\x1cd")
        shell.expect("detached from pod sh")
        assert shell.wait() == 0
        repl = Terminal(python, env)
        try:
            repl.expect(">>> ")
            repl.type("print(zaptrace.connect('sh').attach())\n")
            repl.expect("here")
            repl.type("\x1cd")
            repl.expect(r"None\s+>>> ")
            repl.type("print(zaptrace.connect('sh').attach())\n")
            repl.expect("here")
            repl.type("exit 3\n")
            repl.expect(r"how='exited', returncode=3")
        finally:
            repl.close()
    finally:
        shell.close()

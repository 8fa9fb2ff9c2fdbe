"""What a page tells people to type, typed: its sh and python blocks, in their order, on one host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from harness import hosts

PATIENCE_S = 120


def blocks(text: str) -> list[tuple[str, str]]:
    """The language and the text of each that can be run; ```console is for reading."""
    return re.findall(r"^```(sh|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def is_make(text: str) -> bool:
    return all(line.startswith("make ") for line in text.strip().splitlines())


def follow(page: str, place: Path) -> None:
    """Run them in the directory `place`; what is only `make` is somebody else's to try."""
    host = hosts.Host(place, "reader")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**host.env, "PATH": path}
    try:
        for kind, text in blocks(page):
            if is_make(text):
                continue
            command = (
                ["bash", "-xeuo", "pipefail", "-c"] if kind == "sh" else [sys.executable, "-c"]
            )
            done = subprocess.run(
                [*command, text], cwd=place, env=env, capture_output=True, text=True,
                stdin=subprocess.DEVNULL, timeout=PATIENCE_S, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}\n{host.log()}"
    finally:
        host.close()

"""What README.md tells people to type works, its links lead somewhere, and the table is current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from harness import hosts
from harness.world import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def is_make(text: str) -> bool:
    return all(line.startswith("make ") for line in text.strip().splitlines())


def test_the_tour(place: Path):
    """The sh and python blocks, in their order, in one directory, on one host."""
    host = hosts.Host(place, "reader")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**host.env, "PATH": path}
    try:
        for kind, text in BLOCKS:
            if is_make(text):
                continue
            command = (
                ["bash", "-xeuo", "pipefail", "-c"] if kind == "sh" else [sys.executable, "-c"]
            )
            done = subprocess.run(
                [*command, text], cwd=place, env=env, capture_output=True, text=True,
                stdin=subprocess.DEVNULL, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}\n{host.log()}"
    finally:
        host.close()


def test_every_make_target_exists():
    """CI runs `make demo` and `make test` themselves; the others have to be there."""
    targets = set(re.findall(r"`?make ([a-z]+)", README))
    known = set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[0].split())
    assert {"demo", "test"} <= targets <= known
    run = (ROOT / ".ci/run").read_text()
    assert "make test" in run
    assert "make demo" in run


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert "docs/syscalls.md" in links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_table_is_current():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/support_table.py", "--check"], check=False
    )
    assert done.returncode == 0, "make table"

"""What README.md tells people to type works, its links lead somewhere, and the table is current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from harness import pages
from harness.world import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tour(place: Path):
    """The sh and python blocks, in their order, in one directory, on one host."""
    pages.follow(README, place)


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

"""The pages: what the tutorials tell people to type works, and all of them become a site and a man page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zaptrace
from harness import pages
from harness.world import ROOT
from zaptrace.cli._verbs import VERBS

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_can_be_followed(page: Path, place: Path):
    text = page.read_text(encoding="utf-8")
    assert pages.blocks(text)
    pages.follow(text, place)


def build(target: Path, tree: Path = ROOT) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pages.py"), str(target), str(tree)],
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_site_is_built_without_a_warning(tmp_path: Path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'zaptrace[test]'")
    assert build(tmp_path) == (0, "")
    python = (tmp_path / "pages" / "reference" / "python.md").read_text(encoding="utf-8")
    for name in zaptrace.__all__:
        assert f"## zaptrace.{name}\n" in python
    line = (tmp_path / "pages" / "reference" / "cli.md").read_text(encoding="utf-8")
    man = (tmp_path / "zaptrace.1").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"## zaptrace {verb}\n\n```text\nUsage: zaptrace {verb}" in line
        assert f".SH {verb.upper()}\n" in man
    known = (".TH", ".SH", ".B", ".I", ".nf", ".fi")
    by_mistake = [m for m in re.findall(r"^[.'].*", man, re.M) if not m.startswith(known)]
    assert not by_mistake, "lines of the help that troff takes for its own"
    for page in ROOT.glob("docs/**/*.md"):
        html = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (tmp_path / "site" / html).is_file(), html


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'zaptrace[test]'")
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "examples"):
        (tree / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", tree / "docs")
    with open(tree / "docs" / "comparison.md", "a", encoding="utf-8") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    status, said = build(tmp_path / "out", tree)
    assert status == 1
    assert "nowhere.md" in said


def test_versions_are_told_in_one_place():
    assert f"## {zaptrace.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert zaptrace.__version__ not in (ROOT / "setup.py").read_text(encoding="utf-8")

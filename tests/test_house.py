"""House rules that a machine can hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 500
TABLES = ("csrc/syscalls.py",)
"""Files that are one list; a list may be long."""
MADE = ("zaptrace/_native.c",)
"""Files that the build leaves in place."""


def sources() -> list[Path]:
    kinds = ("*.py", "*.c", "*.h", "*.S", "*.sh")
    places = ("zaptrace", "csrc", "tests", "bench", "scripts")
    found = sorted(p for place in places for kind in kinds for p in (ROOT / place).rglob(kind))
    return [p for p in found if str(p.relative_to(ROOT)) not in MADE]


def test_no_file_is_long():
    long = {
        str(p.relative_to(ROOT)): n
        for p in sources()
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > MAX_LINES
        and str(p.relative_to(ROOT)) not in TABLES
    }
    assert not long, f"a file says one thing: {long}"


def test_nothing_is_left_to_do():
    words = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    found = [
        f"{p.relative_to(ROOT)}:{number}"
        for p in sources()
        for number, line in enumerate(p.read_text(encoding="utf-8").splitlines(), 1)
        if words.search(line)
    ]
    assert not found, found


def test_every_module_says_what_it_is_for():
    import ast

    silent = [
        str(p.relative_to(ROOT))
        for p in sources()
        if p.suffix == ".py"
        and p.relative_to(ROOT).parts[0] != "tests"
        and p.name != "__init__.py"
        and not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))
    ]
    assert not silent, silent


@pytest.mark.parametrize("what", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_ruff(what: list[str]):
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists() and not shutil.which("ruff"):
        pytest.skip("ruff is not installed: pip install ruff")
    command = [str(ruff) if ruff.exists() else "ruff", *what, "--no-cache", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

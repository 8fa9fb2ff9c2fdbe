"""A build says what it lacks, and leaves a tree alone that is not its user's."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host() -> ModuleType:
    path = ROOT / "csrc" / "host_for_build.py"
    spec = importlib.util.spec_from_file_location("host_for_build", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_this_host_can(host: ModuleType) -> None:
    host.check()


def test_no_compiler(host: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="no cc in PATH\n  do       apt-get install gcc "):
        host.check()


def test_no_headers(host: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "cc -nostdinc")
    with pytest.raises(SystemExit, match=r"needed   the C library's headers\n.*stdio\.h"):
        host.check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every tree")
def test_a_tree_that_is_not_ours(tmp_path: Path) -> None:
    """What a build makes first is not put there, and goes away again."""
    tree, scratch = tmp_path / "tree", tmp_path / "t"
    scratch.mkdir()
    shutil.copytree(ROOT / "csrc", tree / "csrc")
    before = sorted(tree.rglob("*"))
    folders = [tree, *(p for p in before if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    code = """if True:
        import runpy
        made = runpy.run_path("csrc/build.py")["GENERATED"]
        print(made, *sorted(path.name for path in made.iterdir()))
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tree, env={**os.environ, "TMPDIR": str(scratch)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        place, *headers = done.stdout.split()
        assert place.startswith(str(scratch))
        assert "zt_vdso_image.h" in headers
        assert sorted(tree.rglob("*")) == before
        assert not list(scratch.iterdir())
    finally:
        for folder in folders:
            folder.chmod(0o755)

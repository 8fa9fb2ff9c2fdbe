"""Type checkers know the types of every function: a script that uses each passes, wrong uses do not."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zaptrace
from harness.world import ROOT, require
from zaptrace import aio

SCRIPT = Path(__file__).with_name("every_function.py")
WRONG = """\
import zaptrace

pod: int = zaptrace.launch(["ls"])
zaptrace.connect("web").signal("TERM")
zaptrace.connect("web").checkpoint("web.zap", outside="maybe")
zaptrace.PodHandle("web")
"""
WRONG_LINES = [3, 4, 5, 6]


def mypy(path: Path, place: Path) -> tuple[int, str]:
    argv = ["-m", "mypy", "--strict", "--config-file=", f"--cache-dir={place}/cache", str(path)]
    done = subprocess.run(
        [sys.executable, *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def pyright(path: Path, place: Path) -> tuple[int, str]:
    """In its strict mode; of PyPI's package, which brings all but node."""
    require("node", "nodejs")
    settings = {"include": [str(path)], "typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (place / "pyrightconfig.json").write_text(json.dumps(settings))
    program = Path(sys.executable).with_name("pyright")
    argv = [str(program), "--pythonpath", sys.executable, "-p", str(place)]
    done = subprocess.run(
        argv,
        cwd=place,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


CHECKERS = [mypy, pyright]


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_script_that_uses_every_function_is_clean(checker, tmp_path: Path):
    status, said = checker(SCRIPT, tmp_path)
    assert status == 0, said


@pytest.mark.parametrize("checker", CHECKERS)
def test_wrong_uses_are_found(checker, tmp_path: Path):
    """So the types are known, and not Any."""
    (tmp_path / "wrong.py").write_text(WRONG)
    status, said = checker(tmp_path / "wrong.py", tmp_path)
    assert status == 1, said
    assert sorted({int(n) for n in re.findall(r"wrong\.py:(\d+):.*error", said)}) == WRONG_LINES


def test_the_script_uses_every_function():
    script = SCRIPT.read_text(encoding="utf-8")
    for module, prefix in ((zaptrace, "zaptrace"), (aio, "aio")):
        assert module.__all__ == sorted(module.__all__)
        plain = set() if module is zaptrace else {"Process", "Progress", "ZaptraceError"}
        used = {name for name in module.__all__ if f"{prefix}.{name}" in script}
        assert used == set(module.__all__) - plain
    for method in (name for name in vars(zaptrace.Pod) if not name.startswith("_")):
        assert re.search(rf"\w\.{method}\b", script), method


def test_asyncio_has_the_same_names():
    assert aio.__all__ == zaptrace.__all__
    for name in ("launch", "restore", "connect", "current", "pods", "check", "show"):
        assert list(inspect.signature(getattr(aio, name)).parameters) == list(
            inspect.signature(getattr(zaptrace, name)).parameters
        ), name
    public = {name for name in vars(zaptrace.Pod) if not name.startswith("_")}
    assert {name for name in vars(aio.Pod) if not name.startswith("_")} == public
    for name in public - {"state"}:
        theirs, ours = (inspect.signature(getattr(of, name)) for of in (zaptrace.Pod, aio.Pod))
        assert list(theirs.parameters) == list(ours.parameters), name


def test_everything_public_says_what_it_is_for():
    for name in zaptrace.__all__:
        assert (getattr(zaptrace, name).__doc__ or "").strip(), name
    for one in (zaptrace.Pod, aio.Pod):
        silent = [n for n, f in vars(one).items() if not n.startswith("_") and not f.__doc__]
        assert not silent, one


def test_no_module_has_the_name_of_a_function():
    """`import zaptrace.X` must not put a module where the function was."""
    there = {path.stem for path in (ROOT / "zaptrace").iterdir()}
    assert not there & set(zaptrace.__all__)
    assert not {path.stem for path in (ROOT / "zaptrace" / "aio").iterdir()} & set(aio.__all__)


def test_import_zaptrace_loads_nothing():
    code = "import sys; before = {*sys.modules, '__future__'}; import zaptrace; "
    code += "print(sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['zaptrace']"
    assert set(zaptrace.__all__) <= set(dir(zaptrace))
    with pytest.raises(AttributeError, match="PodHandle"):
        _ = zaptrace.PodHandle

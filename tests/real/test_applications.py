"""Programs that people run on purpose: workers, their supervisors, and what they share."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.flavours import MOVING, compare_native
from harness.world import (
    REAL,
    ROOT,
    built,
    environment,
    only_one,
    python,
    require,
    sorted_lines,
    told,
)

pytestmark = pytest.mark.parametrize("flavour", MOVING)

AT_LEAST = int(os.environ.get("ZAPTRACE_TEST_ROUNDS", "1"))
"""How often each is moved, in as many runs as that takes. ZAPTRACE_TEST_ROUNDS=20: by hand."""
TIMES = max(6, AT_LEAST)


def moved(flavour: str, command: Sequence[str | Path], place: Path, **how: Any) -> None:
    """At random moments."""
    runs = rounds = 0
    while rounds < AT_LEAST:
        rounds += compare_native(flavour, command, place, times=TIMES, **how).cycles
        runs += 1
    if AT_LEAST > 1:
        told.append(f"{' '.join(map(str, command))} as {flavour}: {rounds} rounds in {runs} runs")


def installed(module: str) -> str:
    """The Python of the tests, which has this module."""
    home_of(module)
    return sys.executable


def home_of(module: str) -> Path:
    """The directory of a package that the tests' Python has."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        pytest.fail(f"{module} is not installed: pip install -e '.[test]'")
    return Path(spec.origin).parent


def without_psutil(place: Path) -> dict[str, str]:
    """An environment whose Python does not find it: it looks for processes in /proc, which is the
    host's, and so finds none of a pod that has moved (docs/applications.md)."""
    hidden = place / "hidden"
    hidden.mkdir()
    (hidden / "psutil.py").write_text("raise ImportError\n")
    return environment(PYTHONPATH=str(hidden))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(flavour: str, method: str, place: Path):
    moved(flavour, [python(), REAL / "pools.py", method], place)


def test_joblib(flavour: str, place: Path):
    command = [installed("joblib"), REAL / "joblib_workers.py"]
    moved(flavour, command, place, env=without_psutil(place))


def test_dask(flavour: str, place: Path):
    command = [installed("dask"), REAL / "dask_graph.py"]
    moved(flavour, command, place, env=without_psutil(place))


def assembly() -> Path:
    """Threads.cs, compiled: an assembly that runs on .NET and on Mono."""
    compiler = require("mcs", "mono-mcs")
    with only_one(ROOT / "build" / "programs" / "dotnet") as home:
        if not home.exists():
            home.mkdir()
            built(compiler, "-nologo", f"-out:{home}/Threads.dll", REAL / "Threads.cs")
            framework = {"name": "Microsoft.NETCore.App", "version": "3.1.0"}
            config = json.dumps({"runtimeOptions": {"framework": framework}})
            (home / "Threads.runtimeconfig.json").write_text(config)
    return home / "Threads.dll"


def test_dotnet(flavour: str, place: Path):
    """The runtime is in a wheel; without ICU it does with one culture."""
    runtime = home_of("dotnetcore2") / "bin" / "dotnet"
    env = {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "HOME": str(place)}
    moved(flavour, [runtime, assembly()], place, env=env)


def test_mono(flavour: str, place: Path):
    moved(flavour, [require("mono", "mono-runtime"), assembly()], place, env={"HOME": str(place)})


def test_gunicorn(flavour: str, place: Path):
    moved(flavour, [installed("gunicorn"), REAL / "web_workers.py"], place)


def test_supervisord(flavour: str, place: Path):
    command = [require("bash"), REAL / "supervised.sh", installed("supervisor")]
    moved(flavour, command, place)


def test_gnu_parallel(flavour: str, place: Path):
    script = "seq 60 | parallel --will-cite -j4 'sleep 0.03; echo $(({} * {}))'"
    command = [require("bash"), "-c", script]
    require("parallel")
    moved(flavour, command, place, normal=sorted_lines)

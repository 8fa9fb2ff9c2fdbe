"""Programs that people run on purpose: workers, their supervisors, and what they share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from harness.flavours import MOVING, compare_native
from harness.world import REAL, python, require, sorted_lines

pytestmark = pytest.mark.parametrize("flavour", MOVING)

ROUNDS = 6


def installed(module: str) -> str:
    """The Python of the tests, which has this module."""
    if importlib.util.find_spec(module) is None:
        pytest.fail(f"{module} is not installed: pip install -e '.[test]'")
    return sys.executable


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(flavour: str, method: str, place: Path):
    compare_native(flavour, [python(), REAL / "pools.py", method], place, times=ROUNDS)


def test_joblib(flavour: str, place: Path):
    command = [installed("joblib"), REAL / "joblib_workers.py"]
    compare_native(flavour, command, place, times=ROUNDS)


def test_dask(flavour: str, place: Path):
    compare_native(flavour, [installed("dask"), REAL / "dask_graph.py"], place, times=ROUNDS)


def test_gunicorn(flavour: str, place: Path):
    compare_native(flavour, [installed("gunicorn"), REAL / "web_workers.py"], place, times=ROUNDS)


def test_supervisord(flavour: str, place: Path):
    command = [require("bash"), REAL / "supervised.sh", installed("supervisor")]
    compare_native(flavour, command, place, times=ROUNDS)


def test_gnu_parallel(flavour: str, place: Path):
    script = "seq 60 | parallel --will-cite -j4 'sleep 0.03; echo $(({} * {}))'"
    command = [require("bash"), "-c", script]
    require("parallel")
    compare_native(flavour, command, place, times=ROUNDS, normal=sorted_lines)

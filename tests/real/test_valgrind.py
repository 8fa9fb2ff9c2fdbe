"""valgrind, which unmaps the vDSO that it finds, runs programs of its own making, and owns signals."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.flavours import FLAVOURS, compare_native
from harness.world import REAL, compiled, python, require

COUNT = "for i in range(200): print(i, sum(range(i * 100)), flush=True)"


@pytest.mark.parametrize("flavour", [f for f in FLAVOURS if f != "native"])
def test_c_program(flavour: str, place: Path):
    command = [require("valgrind"), "-q", "--leak-check=full", compiled(REAL / "growing.c")]
    compare_native(flavour, command, place, times=5)


@pytest.mark.slow
@pytest.mark.parametrize("flavour", [f for f in ("resume", "restore") if f in FLAVOURS])
def test_python(flavour: str, place: Path):
    command = [require("valgrind"), "-q", "--tool=none", python(), "-c", COUNT]
    compare_native(flavour, command, place, times=5)

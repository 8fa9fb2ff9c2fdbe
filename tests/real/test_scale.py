"""Many processes, many threads, a deep tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.flavours import run_flavour
from harness.world import REAL, compiled

pytestmark = pytest.mark.slow


CASES = [
    *[(what, 200, flavour) for what in ("processes", "deep") for flavour in ("resume", "twice")],
    ("processes", 1000, "restore"),
    ("deep", 700, "restore"),
    *[("threads", 1000, flavour) for flavour in ("resume", "restore", "twice")],
]


@pytest.mark.parametrize(("what", "count", "flavour"), CASES)
def test_many(what: str, count: int, flavour: str, place: Path):
    run_flavour(flavour, [compiled(REAL / "many.c"), what, str(count)], place, timeout=400)

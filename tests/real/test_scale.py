"""Many processes, many threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.flavours import run_flavour
from harness.world import REAL, compiled

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("flavour", ["resume", "restore", "twice"])
@pytest.mark.parametrize(("what", "count"), [("processes", 200), ("threads", 1000)])
def test_many(what: str, count: int, flavour: str, place: Path):
    run_flavour(flavour, [compiled(REAL / "many.c"), what, str(count)], place, timeout=120)

"""Programs under ASan, TSan and MSan, whose shadow memory leaves us few addresses to be at."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.flavours import FLAVOURS, started
from harness.world import REAL, compiled, require

SANITIZERS = {
    "address": ("cc", "heap-buffer-overflow"),
    "thread": ("cc", "data race"),
    "memory": ("clang", "use-of-uninitialized-value"),
}


@pytest.mark.parametrize("flavour", [f for f in ("native", "pod", "twice") if f in FLAVOURS])
@pytest.mark.parametrize("kind", SANITIZERS)
def test_it_runs_and_still_finds_its_fault(kind: str, flavour: str, place: Path):
    """Right until the go, and then the sanitizer has to tell where it goes wrong."""
    compiler, fault = SANITIZERS[kind]
    require(compiler)
    program = compiled(REAL / "sanitized.c", f"-fsanitize={kind}", cc=compiler)
    with started(flavour, [program, kind], place) as it:
        it.wait_for("ready", 60)
        assert it.cycle()
        it.go()
        outcome = it.finish(60)
    assert "counted 200, byte 1" in outcome.output
    assert fault in outcome.output and outcome.exit != 0

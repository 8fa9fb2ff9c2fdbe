"""Every C program of tests/programs in every flavour: one program, many proofs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.flavours import FLAVOURS, run_flavour
from harness.world import ASAN, PROGRAMS, compiled

ASAN_FLAVOURS = ("pod", "resume", "twice")
"""Under the sanitizers the others would only repeat the same code, slowly."""


GO_ON = {
    "blocked_recv": "a receive times out",
    "blocked_time_left": "sleeps end, and threads with them",
    "timerfd": "a timer ticks",
}
"""Programs that do not only wait for the go."""


def flavours() -> tuple[str, ...]:
    return ASAN_FLAVOURS if ASAN else FLAVOURS


@pytest.mark.tracer
@pytest.mark.parametrize("flavour", flavours())
@pytest.mark.parametrize("source", sorted(PROGRAMS.glob("*.c")), ids=lambda p: p.stem)
def test_program(source: Path, flavour: str, place: Path):
    run_flavour(flavour, [compiled(source)], place, waits=source.stem not in GO_ON)


@pytest.mark.root_too
@pytest.mark.parametrize("source", sorted(PROGRAMS.glob("*.c")), ids=lambda p: p.stem)
def test_program_three_times_over(source: Path, place: Path):
    """What is restored can be checkpointed again, and again."""
    waits = source.stem not in GO_ON
    run_flavour("restore", [compiled(source)], place, moments=3, waits=waits)

"""Processes that are made again only to end leave no trace of their own."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from harness.flavours import run_flavour
from harness.world import PROGRAMS, compiled


@pytest.mark.tracer
def test_a_zombie_made_again_dumps_no_core(place: Path, monkeypatch: pytest.MonkeyPatch):
    """The program's own lie where it runs; the supervisor's directory is this one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    monkeypatch.chdir(place)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        run_flavour("restore", [compiled(PROGRAMS / "zombies.c")], place)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert not list(place.glob("core*"))

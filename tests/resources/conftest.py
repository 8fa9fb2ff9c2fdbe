"""The world that a test of a room plays in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.room_world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    home = tmp_path / "image"
    home.mkdir()
    made = World(home, monkeypatch)
    yield made
    made.close()

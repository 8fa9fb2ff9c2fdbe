"""Real programs that wait for files to change: not an event is lost, and none is added."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.flavours import MOVING, compare_native
from harness.world import REAL, require

pytestmark = pytest.mark.parametrize("flavour", MOVING)


def test_tail_follows_a_log(flavour: str, place: Path):
    compare_native(flavour, [require("bash"), REAL / "following.sh"], place, times=6)


def test_node_watches_a_directory(flavour: str, place: Path):
    compare_native(flavour, [require("node", "nodejs"), REAL / "watching.js"], place, times=4)


def test_inotifywait(flavour: str, place: Path):
    require("inotifywait", "inotify-tools")
    compare_native(flavour, [require("bash"), REAL / "watching.sh"], place, times=6)

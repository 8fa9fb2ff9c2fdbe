"""What rooms of the tracer noted goes through an image, whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.world import PATIENCE_S, PROGRAMS, ROOT, TESTS, compiled
from zaptrace import plain, resources
from zaptrace.errors import BadImage, ImageError
from zaptrace.limits import STATES, Budget
from zaptrace.pod import checkpoint, contents
from zaptrace.view.store import RECORD


@pytest.mark.tracer
def test_a_restored_pod_has_it_again(place: Path):
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(TESTS)]))
    ran = subprocess.run(
        [sys.executable, str(TESTS / "harness" / "stored.py"), compiled(PROGRAMS / "eventfd.c"), place],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


class _Image:
    def __init__(self, *entries: dict) -> None:
        self.entries = list(entries)

    def states(self, room: str) -> list[dict]:
        assert room == RECORD
        return plain.loads(plain.dumps(self.entries), STATES)


def test_its_record_is_no_rooms():
    assert RECORD not in {room.NAME for room in resources.ROOMS}


@pytest.mark.parametrize(
    "entry",
    [
        {"room": "no such room", "key": b"", "value": b""},
        {"room": "eventfd\0", "key": b"", "value": b""},
        {"room": "\udcff", "key": b"", "value": b""},
        {"room": "eventfd", "key": "text", "value": b""},
        {"room": "eventfd", "key": b""},
    ],
    ids=repr,
)
def test_a_damaged_record_is_a_bad_image(entry: dict):
    good = {"room": "eventfd", "key": b"k", "value": b"v"}
    assert [e.value for e in contents.read_stored(_Image(good))] == [b"v"]
    with pytest.raises(BadImage):
        contents.read_stored(_Image(good, entry))


def test_an_image_that_nobody_could_read_is_not_written():
    records = [plain.dumps([1, 2]), plain.dumps([3])]
    checkpoint._refuse_too_much(records, Budget(bytes=5, values=5, depth=1))
    for less in (Budget(bytes=4, values=5, depth=1), Budget(bytes=5, values=4, depth=1)):
        with pytest.raises(ImageError, match="too much state"):
            checkpoint._refuse_too_much(records, less)

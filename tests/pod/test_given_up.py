"""Work that is given up, at each of the places where it looks whether it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.at_look import AtLook
from harness.world import children
from zaptrace.cancel import Cancel
from zaptrace.errors import Cancelled
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore

pytestmark = pytest.mark.tracer

TRIES = 24


def some_of(looks: int) -> list[int]:
    """Numbers of looks, the last ones among them."""
    return sorted(
        {*range(1, looks + 1, max(1, looks // TRIES)), *range(max(1, looks - 3), looks + 1)}
    )


@pytest.fixture
def quiet() -> Iterator[Stdio]:
    null = os.open(os.devnull, os.O_RDWR)
    yield Stdio(null, null, null)
    os.close(null)


def write(pod: Pod, path: Path, cancel: Cancel) -> None:
    sink = DirectorySink(path, cancel=cancel)
    checkpoint(pod, sink, then="resume", rehearsal=True, cancel=cancel)


def test_a_checkpoint_with_its_rehearsal(quiet: Stdio, tmp_path: Path) -> None:
    with Pod.launch(["sh", "-c", "sleep 1000 | cat"], name="given up", stdio=quiet) as pod:
        never = AtLook("the work", 0)
        write(pod, tmp_path / "whole", never)
        there = children()
        for n in some_of(never.looks):
            with pytest.raises(Cancelled) as caught:
                write(pod, tmp_path / "image", AtLook("the work", n))
            assert caught.value.found == "a test"
            assert caught.value.changed == "nothing; the pod is running again", n
            assert [p.name for p in tmp_path.iterdir()] == ["whole"]
            assert not pod.frozen and pod.wait(0) is None
            assert children() == there
        write(pod, tmp_path / "again", AtLook("the work", 0))


def test_a_restore(quiet: Stdio, tmp_path: Path) -> None:
    with Pod.launch(["sh", "-c", "sleep 1000 | cat"], name="given up", stdio=quiet) as pod:
        checkpoint(pod, DirectorySink(tmp_path / "image"), then="stop")
    before = children()
    with Image.open(tmp_path / "image") as image:
        never = AtLook("the work", 0)
        restore(image, stdio=quiet, cancel=never).close()
        for n in some_of(never.looks):
            with pytest.raises(Cancelled) as caught:
                restore(image, stdio=quiet, cancel=AtLook("the work", n))
            assert caught.value.changed == "nothing; what was made of the pod is gone again"
            assert children() == before
        restore(image, stdio=quiet, cancel=AtLook("the work", 0)).close()

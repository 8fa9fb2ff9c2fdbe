"""A path of an image that is something else by now: refused by name, and nobody waits for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.supervisors import eventually
from zaptrace.errors import RestoreError
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import claim, restore

pytestmark = pytest.mark.tracer

SCRIPT = "exec 3<data 4>>out 5<empty 6<>named; exec ./program 1000"


@pytest.fixture
def quiet() -> Iterator[Stdio]:
    null = os.open(os.devnull, os.O_RDWR)
    yield Stdio(null, null, null)
    os.close(null)


def to_a_device(path: Path) -> None:
    path.symlink_to("/dev/tty")


def to_a_pipe(path: Path) -> None:
    os.mkfifo(f"{path}.pipe")
    path.symlink_to(f"{path}.pipe")


@pytest.mark.parametrize("becomes", [os.mkfifo, to_a_pipe, os.mkdir, to_a_device])
def test_what_a_pod_had_open_or_executed(
    quiet: Stdio, tmp_path: Path, becomes: Callable[[Path], None]
) -> None:
    home, image_path = tmp_path / "home", tmp_path / "image"
    home.mkdir()
    shutil.copy("/bin/sleep", home / "program")
    (home / "data").write_bytes(b"some data")
    (home / "empty").touch()
    os.mkfifo(home / "named")
    with Pod.launch(["sh", "-c", SCRIPT], name="paths", cwd=str(home), stdio=quiet) as pod:
        eventually(lambda: [p.comm for p in pod.processes()] == ["program"])
        checkpoint(pod, DirectorySink(image_path), then="stop")
    with Image.open(image_path) as image:
        assert claim(image, stdio=quiet) == []
        for name in ("program", "data", "out", "empty", "named"):
            if name == "named" and becomes in (os.mkfifo, to_a_pipe):
                continue
            kept = home / f"{name}.kept"
            (home / name).rename(kept)
            becomes(home / name)
            found = claim(image, stdio=quiet)
            assert any(str(home / name) in error.what + str(error.needed) for error in found), name
            with pytest.raises(RestoreError, match=name):
                restore(image, stdio=quiet)
            (home / name).rmdir() if becomes is os.mkdir else (home / name).unlink()
            Path(f"{home / name}.pipe").unlink(missing_ok=True)
            kept.rename(home / name)
        restore(image, stdio=quiet).close()

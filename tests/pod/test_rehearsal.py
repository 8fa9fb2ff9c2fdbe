"""What a rehearsal finds, and that nobody else notices it."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from harness.flavours import started
from harness.runs import PodRun
from harness.world import REAL, FlavourError, python
from zaptrace import resources
from zaptrace.errors import BadImage
from zaptrace.image.sink import DirectorySink
from zaptrace.linux import procfs
from zaptrace.pod import pod as pod_module
from zaptrace.pod.checkpoint import checkpoint


@pytest.fixture
def server(place: Path):
    home = place / "home"
    home.mkdir()
    with started("rehearsed", [python(), REAL / "server.py", home], place) as it:
        it.wait_for("ready")
        yield it, home


def _answers(home: Path, count: int) -> None:
    port = int((home / "port").read_text())
    for target in (str(home / "by-path"), ("127.0.0.1", port)):
        kind = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
        for _ in range(count):
            with socket.socket(kind) as client:
                client.settimeout(30)
                client.connect(target)
                assert client.recv(100) == b"original"


@pytest.mark.tracer
def test_nobody_notices(server):
    """No file appears or changes, no connection goes astray, and the named pipe is as it was."""
    it, home = server
    before = {e.name: (e.inode(), e.stat().st_mtime_ns) for e in os.scandir(home)}
    files = len(os.listdir(f"/proc/{it.runner.pid}/fd"))
    for _ in range(3):
        assert it.cycle()
    assert {e.name: (e.inode(), e.stat().st_mtime_ns) for e in os.scandir(home)} == before
    assert len(os.listdir(f"/proc/{it.runner.pid}/fd")) <= files
    _answers(home, 40)
    assert "PASS" in it.finish().output


def test_what_cannot_come_back_is_found(place: Path):
    """An executable that cannot be executed any more: the pod goes on, and no image is there."""
    program = place / "program"
    shutil.copy("/bin/sleep", program)
    with started("restore", [program, "600"], place) as it:
        assert isinstance(it, PodRun)
        program.chmod(0o644)
        with pytest.raises(FlavourError, match="the image would not restore"):
            it.cycle()
        assert not list(it.place.glob("*image*"))
        program.chmod(0o755)
        assert it.cycle()
        it.ask("signal", number=15)
        assert it.finish().status == 15


def test_the_end_of_one_pod_is_no_other_pods(place: Path, monkeypatch: pytest.MonkeyPatch):
    """A rehearsal that takes long to end is ended by force; the original beside it is not."""
    null = os.open(os.devnull, os.O_RDWR)
    looked: list[set[int]] = []

    def traced_by(tids: set[int]) -> list[int]:
        looked.append(tids)
        return procfs_traced_by(tids)

    procfs_traced_by = procfs.traced_by
    monkeypatch.setattr(procfs, "traced_by", traced_by)
    monkeypatch.setattr(pod_module, "_CUT_AFTER_S", -1.0)
    stdio = pod_module.Stdio(null, null, null)
    try:
        with pod_module.Pod.launch(["/bin/sleep", "100"], name="original", stdio=stdio) as original:
            original.freeze()
            with pod_module.Pod.launch(["/bin/sleep", "100"], name="other", stdio=stdio) as other:
                theirs = other.processes()[0].rpid
            assert looked, "it was not ended by force"
            assert original._thread.native_id not in set.union(*looked)
            assert not os.path.exists(f"/proc/{theirs}")
            assert original.wait(0) is None
            assert [p.comm for p in original.processes()] == ["sleep"]
            original.thaw()
    finally:
        os.close(null)


def test_no_image_is_written_that_would_be_refused(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Also where nothing is rehearsed, and the pod runs again by then."""
    null = os.open(os.devnull, os.O_RDWR)
    stdio = pod_module.Stdio(null, null, null)
    try:
        with pod_module.Pod.launch(["/bin/sleep", "100"], name="read", stdio=stdio) as pod:
            with monkeypatch.context() as patched:
                for room in resources.FILE_KINDS:
                    patched.setattr(room, "capture", lambda _: [])
                with (
                    DirectorySink(place / "bad.zap") as sink,
                    pytest.raises(
                        BadImage, match=r"would not restore: .* which there is not"
                    ) as told,
                ):
                    checkpoint(pod, sink)
            assert told.value.changed == "nothing; the pod is running again"
            assert not pod.frozen and not os.listdir(place)
            with DirectorySink(place / "good.zap") as sink:
                checkpoint(pod, sink)
            assert os.listdir(place) == ["good.zap"]
    finally:
        os.close(null)

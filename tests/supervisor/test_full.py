"""No room for what a supervisor writes: no pod is lost by that, nor how it ended.

A limit on the size of files that is put on a running supervisor, and taken off it again, makes
every write of it fail for that while, as a full disk or a used up quota does.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, end_all, eventually, is_gone
from harness.world import TESTS
from zaptrace.errors import PodError
from zaptrace.supervisor import control, runtime, starter
from zaptrace.supervisor.logs import PodLog, follow, old_one
from zaptrace.supervisor.own_process import LogFile
from zaptrace.supervisor.starter import Job, Started


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    import tempfile

    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", path)
        monkeypatch.setattr(starter, "PROGRAM", "harness.fake_pod")
        monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        yield runtime.root()
        end_all(runtime.root())


def full(pid: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))


def roomy(pid: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextlib.contextmanager
def pod(base: Path, script: str, go: Path) -> Iterator[tuple[Started, control.Client]]:
    """One that says ready, and does `script` when `go` is there."""
    wait = f"echo ready; until [ -e {go} ]; do sleep 0.05; done; {script}"
    job = Job("launch", str(base), name="web", argv=["sh", "-c", wait], stdio="log")
    with starter.start(job) as started, started.connect() as client:
        eventually(lambda: (base / "web" / "log").read_bytes() == b"ready\n")
        yield started, client


def test_how_a_pod_ended_is_told_until_it_can_be_written(base: Path, tmp_path: Path):
    with pod(base, "exit 7", tmp_path / "go") as (started, client):
        full(started.pid)
        (tmp_path / "go").touch()
        assert client.wait(PATIENCE_S).status == 7 << 8
        with control.Client("web", base) as late:
            assert late.wait(PATIENCE_S).status == 7 << 8
            assert late.call("status", timeout=PATIENCE_S)["state"] == "ended"
        assert runtime.ended("web", base) is None
        assert runtime.pods(base) == ["web"]
        with pytest.raises(PodError, match="name is taken"):
            runtime.claim("web", base)
        roomy(started.pid)
        eventually(lambda: is_gone(started.pid))
    assert runtime.ended("web", base)["status"] == 7 << 8
    assert runtime.ended_log("web", base).read_text() == "ready\n"
    assert {p.name for p in (base / ".ended").iterdir()} == {"web.json", "web.log", "web.log.times"}


def test_who_stops_it_is_told_and_it_goes(base: Path, tmp_path: Path):
    with pod(base, "exit 7", tmp_path / "go") as (started, client):
        full(started.pid)
        (tmp_path / "go").touch()
        client.wait(PATIENCE_S)
        with control.Client("web", base) as late:
            assert late.call("stop", timeout=PATIENCE_S)["outcome"]["status"] == 7 << 8
        eventually(lambda: is_gone(started.pid))
    assert runtime.pods(base) == []


def test_the_log_says_what_it_lacks(base: Path, tmp_path: Path):
    script = f"echo lost; touch {tmp_path}/said; until [ -e {tmp_path}/room ]; do sleep 0.05; done"
    with pod(base, f"{script}; echo kept", tmp_path / "go") as (started, client):
        full(started.pid)
        (tmp_path / "go").touch()
        eventually((tmp_path / "said").exists)
        eventually(lambda: b"lost" in client.call("scrollback", timeout=PATIENCE_S)["data"])
        roomy(started.pid)
        (tmp_path / "room").touch()
        client.wait(PATIENCE_S)
        eventually(lambda: is_gone(started.pid))
    text = runtime.ended_log("web", base).read_text()
    assert text == "ready\n\n[zaptrace: 5 bytes could not be written here]\nkept\n"


def test_a_pod_that_cannot_be_noted_is_not_started(base: Path, tmp_path: Path):
    (base / ".lock").touch()
    code = (
        "import resource, sys; from pathlib import Path; from zaptrace.supervisor import runtime\n"
        "from zaptrace.errors import HostError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try: runtime.claim('web', Path(sys.argv[1]))\n"
        "except HostError as e: print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, base], capture_output=True, text=True, check=True
    )
    assert "cannot start pod 'web'" in done.stdout
    assert "File too large" in done.stdout
    assert not (base / "web").exists()


class TestLimit:
    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[PodLog]:
        log = PodLog(tmp_path / "log", most=100)
        yield log
        for fd in (log.pod_end, log.source, log._file):
            os.close(fd)

    def write(self, log: PodLog, *texts: str) -> None:
        for text in texts:
            os.write(log.pod_end, text.encode())
            while log.pump():
                continue

    def test_one_old_file_and_a_new_one(self, log: PodLog, tmp_path: Path) -> None:
        for n in range(1000):
            self.write(log, f"line {n:04}\n")
        old, new = Path(old_one(tmp_path / "log")).read_text(), (tmp_path / "log").read_text()
        assert len(old) == 100
        assert 0 < len(new) <= 100
        lines = (old + new).splitlines()
        assert lines == [f"line {n:04}" for n in range(1000 - len(lines), 1000)]
        names = {"log", "log.old"}
        assert {p.name for p in tmp_path.iterdir()} == names | {f"{name}.times" for name in names}

    def test_followers_come_along(self, log: PodLog, tmp_path: Path) -> None:
        seen = b""
        with (tmp_path / "log").open("rb", buffering=0) as stream:
            for n in range(100):
                self.write(log, f"line {n:04}\n")
                if n % 3 == 0:
                    seen += b"".join(follow(tmp_path / "log", stream))
            seen += b"".join(follow(tmp_path / "log", stream))
        assert seen.decode().splitlines() == [f"line {n:04}" for n in range(100)]

    def test_the_log_of_another_pod_is_none_of_this_one(self, log: PodLog, tmp_path: Path) -> None:
        self.write(log, "mine\n")
        with (tmp_path / "log").open("rb", buffering=0) as stream:
            (tmp_path / "log").rename(tmp_path / "ended")
            (tmp_path / "log").write_text("another's\n")
            assert b"".join(follow(tmp_path / "log", stream)) == b"mine\n"


def test_the_supervisors_own_log_is_put_aside(tmp_path: Path):
    log = LogFile(str(tmp_path / "log"), most=100)
    for number in range(9):
        log.write("INFO", f"line {number} \udcff")
    lines = [(tmp_path / name).read_text().splitlines() for name in ("log.1", "log")]
    assert all(3 <= len(part) <= 5 for part in lines)
    assert [line.split(" ", 2)[2] for part in lines for line in part] == [
        f"INFO line {number} \\udcff" for number in range(9 - sum(map(len, lines)), 9)
    ]
    os.close(log._fd)
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}

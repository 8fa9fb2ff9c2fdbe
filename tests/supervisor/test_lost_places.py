"""Whatever is taken away of where pods are found, and where their logs are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, eventually, pod
from zaptrace.supervisor import kept, last_image, runtime
from zaptrace.supervisor.control import Client
from zaptrace.supervisor.supervisor import ControlSocket
from zaptrace.supervisor.unreached import call_back


@pytest.mark.parametrize("what", ["control.sock", "lock", "meta and lock", "the entry", "all"])
def test_a_supervisor_makes_it_again(base: Path, what: str) -> None:
    """Once somebody looks for it; what is there still is found anyway."""
    with pod(base, "echo one; sleep 600") as (started, before):
        before.call("status", timeout=PATIENCE_S)
        if what == "all":
            shutil.rmtree(base)
            runtime.root()
        elif what == "the entry":
            shutil.rmtree(base / "web")
        else:
            for name in what.split(" and "):
                (base / "web" / name).unlink()
        assert what == "control.sock" or runtime.pods(base) == []
        with Client("web", base) as client:
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"
            assert runtime.supervisor_pid(base / "web") == started.pid
            assert runtime.read_meta(base / "web")["instance"] == started.instance
            assert before.call("status", timeout=PATIENCE_S)["name"] == "web", (
                "who was connected is"
            )
            assert call_back(base) == []
            client.call("stop", kill=True, timeout=PATIENCE_S)
        eventually(lambda: not (base / "web").exists(), "nothing is left")


def test_one_whose_name_is_taken_is_told_of(base: Path) -> None:
    with pod(base, "sleep 600") as (started, _client):
        with runtime._locked(base):  # so that it cannot be faster
            shutil.rmtree(base / "web")
            (base / "web").mkdir(mode=0o700)
            lock = os.open(base / "web" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            runtime._take(lock, "lock")
        assert call_back(base) == [("web", started.pid)]
        assert not (base / "web" / "control.sock").exists()
        os.close(lock)
        assert call_back(base) == []
        with Client("web", base) as found:
            found.call("stop", kill=True, timeout=PATIENCE_S)


def test_a_log_that_was_removed_is_begun_again(base: Path) -> None:
    with pod(base, "echo one; sleep 600") as (_, client):
        client.call("stop", kill=True, timeout=PATIENCE_S)
    from zaptrace.supervisor.logs import PodLog

    log = PodLog(base / "a-log")
    os.write(log.pod_end, b"one\n")
    log.pump()
    (base / "a-log").unlink()
    os.write(log.pod_end, b"two\n")
    log.pump()
    assert (base / "a-log").read_bytes() == b"two\n"
    for fd in (log.pod_end, log.source, log._file):
        os.close(fd)


@pytest.fixture
def usual(base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """`base` is the usual runtime directory; where the logs are then."""
    monkeypatch.setattr(kept, "usual_root", lambda: str(base))
    monkeypatch.setenv("FAKE_USUAL_ROOT", str(base))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path / ".local" / "state" / "zaptrace" / os.uname().nodename


def test_logs_are_in_the_state_directory(base: Path, usual: Path) -> None:
    with pod(base, "echo said; sleep 600") as (_, client):
        eventually(lambda: (usual / "live" / "web.log").read_bytes() == b"said\n")
        assert not (base / "web" / "log").exists()
        client.call("stop", kill=True, timeout=PATIENCE_S)
        eventually(lambda: not client.alive())
    assert (usual / "web.log").read_bytes() == b"said\n"
    assert runtime.ended_names(base) == ["web"]
    assert runtime.ended_log("web", base) == usual / "web.log"
    assert not (base / ".ended").exists()
    assert os.listdir(usual / "live") == []
    last_image.note(base, "/images/web.zap")
    shutil.rmtree(base)  # as after a boot
    assert last_image.read(base) == "/images/web.zap"
    past = runtime.ended("web", runtime.root(base))
    assert past is not None and past["instance"] == client.instance
    runtime.forget_ended(["web"], base)
    assert sorted(os.listdir(usual)) == [".latest-image", "live"]


def test_of_a_supervisor_that_was_killed_the_log_goes(base: Path, usual: Path) -> None:
    entry = runtime.claim("web", base)
    Path(kept.live_log(entry.path)).write_text("said")
    os.close(entry.lock_fd)
    assert runtime.pods(base) == []
    assert os.listdir(usual / "live") == []


@pytest.mark.parametrize("why", ["not to be written", "no home"])
def test_where_there_is_no_such_place(
    base: Path, usual: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str
) -> None:
    if why == "no home":
        monkeypatch.delenv("HOME")
    else:
        (tmp_path / ".local").write_text("a file")
    assert kept.directory(base) == f"{base}/.ended"
    assert kept.live_log(base / "web") == f"{base}/web/log"


def test_a_state_directory_can_be_chosen(
    base: Path, usual: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}/state")
    assert kept.directory(base) == f"{tmp_path}/state/zaptrace/{os.uname().nodename}"


def test_the_runtime_directory_outlives_a_logout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes back, and cron, find the pods of a session that is over."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    monkeypatch.delenv("ZAPTRACE_RUNTIME_DIR", raising=False)
    assert runtime._wanted_root() == f"/tmp/zaptrace-{os.geteuid()}"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert runtime._wanted_root() == "/run/user/1000/zaptrace"


def test_only_what_was_taken_away_is_made_again(base: Path) -> None:
    calls: list[str] = []
    it = ControlSocket(base / "s", lambda _: None, make_place=lambda: calls.append("made"))
    try:
        it._look_at = 0.0
        it._look()
        assert calls == []
        (base / "s").unlink()
        (base / "s").write_text("somebody's")
        it._look_at = 0.0
        it._look()
        assert calls == ["made"] and (base / "s").is_socket()
    finally:
        it.close()

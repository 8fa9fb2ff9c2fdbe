"""What we make is ours alone, whatever the umask; what others could have put there is refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.supervisors import end_all
from harness.world import ROOT, environment
from zaptrace.errors import HostError
from zaptrace.linux import private
from zaptrace.network.keys import Keys
from zaptrace.supervisor import runtime

ZAPTRACE = Path(sys.executable).with_name("zaptrace")
UMASKS = (0o000, 0o777)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", f"{path}/run")
        monkeypatch.setenv("ZAPTRACE_CONFIG_DIR", f"{path}/deep/config")
        (Path(path) / "tmp").mkdir()
        monkeypatch.setenv("TMPDIR", f"{path}/tmp")
        yield Path(path)


@pytest.fixture
def pods(home: Path) -> Iterator[None]:
    """Those of the test end with it."""
    yield
    end_all(runtime.root())


def zaptrace(*argv: str, umask: int = 0o022, **more: object) -> subprocess.CompletedProcess[str]:
    env = environment(**{k: v for k, v in os.environ.items() if k[:3] in ("ZAP", "TMP")})
    return subprocess.run(
        [ZAPTRACE, *argv], cwd=ROOT, env=env, umask=umask, capture_output=True, text=True,
        timeout=60, check=False, **more,
    )  # fmt: skip


def others_may(home: Path) -> list[str]:
    """What others have access to, or we have none to, below a directory."""
    found = []
    for path in (p for top in home.iterdir() for p in (top, *top.rglob("*"))):
        mode = path.lstat().st_mode
        wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) != wanted:
            found.append(f"{stat.filemode(mode)} {path.relative_to(home)}")
    return found


@pytest.mark.parametrize("umask", UMASKS)
def test_modes_are_ours_whatever_the_umask(home: Path, pods: None, umask: int):
    """Runtime directory, entries, sockets, logs, images, keys, records of ended pods."""
    (home / "tmp").chmod(0o700)
    for argv in (
        ["run", "--name", "web", "-d", "--", "sh", "-c", "umask; exec sleep 100"],
        ["checkpoint", "web", "--to", str(home / "web.zap")],
        ["keys", "show"],
    ):
        done = zaptrace(*argv, umask=umask)
        assert done.returncode == 0, done.stderr
    assert not others_may(home)
    assert (home / "run/web/control.sock").is_socket()
    assert int(zaptrace("logs", "web", umask=umask).stdout, 8) == umask  # the program has its own
    assert zaptrace("stop", "web", umask=umask).returncode == 0
    assert not others_may(home)
    done = zaptrace("restore", str(home / "web.zap"), "-d", umask=umask)
    assert done.returncode == 0, done.stderr
    assert not others_may(home)
    assert zaptrace("stop", "web", umask=umask).returncode == 0


def test_keys_whatever_the_umask(home: Path):
    before = os.umask(0o777)
    try:
        keys = Keys()
        keys.authorize(keys.identity.text[:4] + "A" * 43, "somebody")
    finally:
        os.umask(before)
    assert Keys().identity == keys.identity
    assert not others_may(keys.directory)


@pytest.mark.parametrize("what", ["link", "writable", "file"])
def test_a_runtime_directory_that_is_not_ours_alone(home: Path, what: str):
    base = home / "run"
    if what == "link":
        (home / "elsewhere").mkdir()
        base.symlink_to(home / "elsewhere")
    elif what == "writable":
        base.mkdir()
        base.chmod(0o770)
    else:
        base.touch(0o600)
    with pytest.raises(HostError, match="as the runtime directory"):
        runtime.root()
    assert what != "writable" or stat.S_IMODE(base.stat().st_mode) == 0o770


def test_one_of_another_user(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(HostError, match="as the runtime directory"):
        runtime.root(home)


@pytest.mark.parametrize("name", ["web", ".lock"])
def test_a_link_in_the_runtime_directory_is_refused_by_name(home: Path, name: str):
    base, target = runtime.root(), home / "mine"
    target.mkdir() if name == "web" else target.touch()
    (base / name).symlink_to(target)
    with pytest.raises(HostError, match=f"cannot use {base / name}: it is a symbolic link"):
        runtime.claim("web", base)
    assert target.exists()
    assert not target.is_dir() or not list(target.iterdir())


def test_links_at_the_names_of_records_and_logs(home: Path):
    base = runtime.root()
    target = home / "mine"
    target.mkdir()
    (base / ".ended").symlink_to(target)
    entry = runtime.claim("web", base)
    with pytest.raises(HostError, match="symbolic link"):
        entry.record_end({"how": "exited"})
    Path(entry.file("log")).symlink_to(target / "log")
    with pytest.raises(OSError, match="symbolic links"):
        private.open_file(entry.file("log"), os.O_WRONLY)
    entry.release()
    assert not list(target.iterdir())


def test_a_pod_whose_entry_is_a_link_is_not_listed(home: Path):
    base = runtime.root()
    (home / "mine").mkdir()
    (base / "web").symlink_to(home / "mine")
    assert runtime.pods(base) == []
    with pytest.raises(HostError, match="symbolic link"):
        runtime.find("web", base)
    assert (home / "mine").is_dir()

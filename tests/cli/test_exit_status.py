"""Exit statuses tell what kind of error it was; --json has it on stdout; what the host refuses to the
command line itself has the house form."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness.hosts import free_port
from harness.shell import Shell
from harness.supervisors import eventually
from harness.world import ROOT
from zaptrace import errors
from zaptrace.cli import _failure
from zaptrace.cli._verbs import HELP, STATUSES
from zaptrace.supervisor.control import SAVED

PAGE = (ROOT / "docs" / "exit-status.md").read_text(encoding="utf-8")


def test_each_is_in_the_help_and_on_the_page() -> None:
    of_all, of_run = PAGE.split("\n`zaptrace run`")
    assert dict(re.findall(r"^\| (\d+) \| (.*) \|$", of_all, re.M)) == STATUSES
    for status, means in STATUSES.items():
        assert re.search(rf"^  {status} +{re.escape(means)}$", HELP, re.M), status
    told = {int(n) for n in re.findall(r"^\| (\d+) \|", of_run, re.M)}
    assert told == {0, 2, SAVED, 125, 126, 127, 130}


def test_each_class_has_one_that_is_told() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    for kind in (c for c in classes if issubclass(c, errors.ZaptraceError)):
        assert str(_failure.status_of(kind("it"))) in STATUSES
    assert _failure.status_of(errors.Unsettled("it")) == 4
    assert _failure.status_of(errors.PeerGone("it")) == 6
    assert _failure.status_of(errors.PodError("it")) == 1


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("ps", "nobody"), 3),
        (("logs", "nobody"), 3),
        (("stop", "nobody", "--json"), 3),
        (("show", "/nowhere.zap"), 7),
        (("show", "/"), 8),
        (("restore", "/nowhere.zap", "-d", "--json"), 125),
        (("run", "--json", "-d", "--", "/nowhere", "--json"), 127),
        (("run", "-d", "/nowhere", "--json"), 127),
        (("wait", "nobody"), 3),
        (("exec", "nobody", "--", "true"), 3),
        (("nonsense",), 2),
    ],
)
def test_statuses(zaptrace: Shell, argv: tuple[str, ...], status: int) -> None:
    done = zaptrace(*argv)
    assert done.returncode == status, done.stderr
    if "--json" in (argv[: argv.index("--")] if "--" in argv else argv) and argv[1] != "-d":
        told = json.loads(done.stdout)
        assert told["exit"] == status
        assert done.stderr.startswith(f"zaptrace: {told['error']['what']}\n")
        assert {"class", "what", "needed", "found", "do", "changed"} <= told["error"].keys()
    else:
        assert done.stdout == ""


def test_a_no_is_no_yes(zaptrace: Shell, tmp_path: Path) -> None:
    """Of an image that is damaged, in one line."""
    image = tmp_path / "web.zap"
    image.mkdir()
    done = zaptrace("check", str(image))
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"no    image {image} cannot be restored here"


def test_an_image_that_cannot_be_made(zaptrace: Shell, tmp_path: Path) -> None:
    assert zaptrace("run", "-d", "--name", "web", "--", "sleep", "60").returncode == 0
    (tmp_path / "there").mkdir()
    done = zaptrace("checkpoint", "web", "--to", str(tmp_path / "there"))
    assert done.returncode == 7, done.stderr
    done = zaptrace("migrate", "web", "tcp://127.0.0.1:1")
    assert done.returncode == 6, done.stderr


def test_a_full_disk(zaptrace: Shell) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*zaptrace.command, "check"], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env=zaptrace.env, timeout=60,
        )  # fmt: skip
    assert done.returncode == 5
    first, *rest = done.stderr.splitlines()
    assert first == "zaptrace: cannot do zaptrace check"
    assert [line.split()[0] for line in rest] == ["needed", "found", "do"]
    assert "ENOSPC" in rest[1]


def test_a_reader_that_leaves_is_no_error(zaptrace: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        done = subprocess.run(
            [*zaptrace.command, "check"], stdout=nobody, stderr=subprocess.PIPE, text=True,
            check=False, env=zaptrace.env, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminal_of_few_letters(zaptrace: Shell) -> None:
    """A name in another script is shown, one way or another."""
    assert zaptrace("run", "-d", "--name", "web", "--", "sh", "-c", "sleep 60 # ж").returncode == 0
    env = zaptrace.env | {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = zaptrace("ps", env=env)
    assert done.returncode == 0, done.stderr
    assert "\\u0436" in done.stdout


def test_a_restore_beside_the_pod_itself(zaptrace: Shell, tmp_path: Path) -> None:
    """Nobody is told of a pod that is frozen still, for there is none."""
    listens = (
        "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[2]))); "
        "open(sys.argv[1], 'w'); time.sleep(60)"
    )
    there = tmp_path / "there"
    port = str(free_port())
    argv = ("python3", "-c", listens, str(there), port)
    assert zaptrace("run", "-d", "--name", "web", "--", *argv).returncode == 0
    eventually(there.exists)
    image = str(tmp_path / "web.zap")
    assert zaptrace("checkpoint", "web", "--to", image).returncode == 0
    done = zaptrace("restore", image, "-d", "--name", "web-2")
    assert done.returncode == 125
    first, *rest = done.stderr.splitlines()
    assert first == "zaptrace: cannot restore pod 'web-2': what it needs is taken here"
    assert f"127.0.0.1:{port}" in done.stderr and "--port OLD=NEW" in done.stderr
    assert rest[-1] == "  changed  nothing; what was made of the pod is gone again"

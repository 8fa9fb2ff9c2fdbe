"""Pods that ended are waited for and listed; a word that is nearly right is answered with the right one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.shell import Shell
from harness.supervisors import PATIENCE_S


def test_wait_tells_the_end(zaptrace: Shell, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"while ! test -e {go}; do sleep 0.05; done; exit 7"
    for name in ("web", "web-2"):
        assert zaptrace("run", "-d", "--name", name, "--", "sh", "-c", script).returncode == 0
    assert zaptrace("wait", "web", "--timeout", "1").returncode == 6
    with zaptrace.start("wait", "web", "web-2", "--json") as waiting:
        go.touch()
        out, said = waiting.communicate(timeout=PATIENCE_S)
    assert waiting.returncode == 7, said
    assert [(one["pod"], one["how"]) for one in json.loads(out)] == [
        ("web", "exited"),
        ("web-2", "exited"),
    ]
    late = zaptrace("wait", "web")  # it has ended, which is known
    assert (late.returncode, late.stdout) == (7, "web exited with status 7\n")


def test_wait_for_a_pod_that_is_stopped(zaptrace: Shell) -> None:
    assert zaptrace("run", "-d", "--name", "web", "--", "sleep", "60").returncode == 0
    with zaptrace.start("wait", "web") as waiting:
        assert zaptrace("stop", "web").returncode == 0
        out, said = waiting.communicate(timeout=PATIENCE_S)
    assert (waiting.returncode, out) == (143, "web was ended by signal 15\n"), said


def test_ps_lists_those_that_ended(zaptrace: Shell, tmp_path: Path) -> None:
    image = tmp_path / "web.zap"
    assert zaptrace("run", "-d", "--name", "web", "--", "sleep", "60").returncode == 0
    assert zaptrace("run", "-d", "--name", "other", "--", "sleep", "60").returncode == 0
    assert zaptrace("checkpoint", "web", "--to", str(image), "--stop").returncode == 0
    assert "web" not in zaptrace("ps").stdout
    lines = zaptrace("ps", "-a").stdout.splitlines()
    assert len(lines) == 3 and lines[1].startswith("other  running")
    assert f"was stopped by a checkpoint to {image}" in lines[2] and lines[2].endswith("sleep 60")
    assert re.search(r" MEMORY +LAST IMAGE ", lines[0]) and re.search(r" [\d.]+ [KM]iB ", lines[1])
    other, web = json.loads(zaptrace("ps", "-a", "--json").stdout)
    assert (other["state"], web["state"]) == ("running", "ended")
    assert web["outcome"]["to"] == str(image) and web["meta"]["argv"] == ["sleep", "60"]
    assert other["memory"] > 0
    assert zaptrace("checkpoint", "other", "--to", str(tmp_path / "second.zap")).returncode == 0
    assert str(tmp_path / "second.zap") in zaptrace("ps", "-a").stdout
    assert zaptrace("restore", str(image), "-d").returncode == 0
    assert len(zaptrace("ps", "-a").stdout.splitlines()) == 3


def test_a_record_that_makes_no_sense(zaptrace: Shell) -> None:
    """It is no more than a name."""
    ended = zaptrace.root / ".ended"
    ended.mkdir(mode=0o700)
    (ended / "web.json").write_text('{"how": "exited", "status": 0, "meta": {"argv": [1, {}]}}')
    (ended / "worse.json").write_text('{"how": "exited", "written": "x"}')
    done = zaptrace("ps", "-a")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["NAME", "web"]


@pytest.mark.parametrize(("typed", "meant"), [("chekpoint", "checkpoint"), ("pss", "ps")])
def test_a_verb_that_was_meant(zaptrace: Shell, typed: str, meant: str) -> None:
    done = zaptrace(typed)
    assert done.returncode == 2 and f"Did you mean {meant}?" in done.stderr
    assert "Did you mean" not in zaptrace("xyzzy").stderr


def test_a_pod_that_was_meant(zaptrace: Shell) -> None:
    assert zaptrace("run", "-d", "--name", "notebook", "--", "sleep", "60").returncode == 0
    done = zaptrace("stop", "notbook")
    assert done.returncode == 3 and "did you mean notebook?" in done.stderr
    assert "did you mean" not in zaptrace("stop", "web").stderr


def test_what_was_restored_is_over_no_more(zaptrace: Shell, tmp_path: Path) -> None:
    """By whatever name it runs now; the one that it had is free again."""
    image = tmp_path / "web.zap"
    assert zaptrace("run", "-d", "--name", "web", "--", "sleep", "60").returncode == 0
    assert zaptrace("checkpoint", "web", "--to", str(image), "--stop").returncode == 0
    assert zaptrace("restore", str(image), "-d", "--name", "second").stdout == "second\n"
    assert [o["name"] for o in json.loads(zaptrace("ps", "-a", "--json").stdout)] == ["second"]
    assert zaptrace("run", "-d", "--name", "web", "--", "sleep", "61").stdout == "web\n"

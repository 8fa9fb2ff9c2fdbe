"""Several pods at a time, and the one that is meant by --latest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.shell import Shell
from zaptrace.supervisor import runtime

SLEEP = ("--", "sleep", "600")


@pytest.fixture
def three(zaptrace: Shell) -> Shell:
    for name in ("one", "two", "three"):
        assert zaptrace("run", "-d", "--name", name, *SLEEP).returncode == 0
    return zaptrace


class TestStop:
    def test_some(self, three: Shell) -> None:
        done = three("stop", "one", "two", "one")
        assert done.returncode == 0
        assert sorted(done.stdout.splitlines()) == [
            "one was ended by signal 15",
            "two was ended by signal 15",
        ]
        assert runtime.pods(three.root) == ["three"]

    def test_one_that_is_not_there_keeps_none_of_the_others(self, three: Shell) -> None:
        done = three("stop", "one", "nobody", "two")
        assert done.returncode == 3
        assert "there is no pod 'nobody'" in done.stderr
        assert runtime.pods(three.root) == ["three"]

    def test_all_as_json(self, three: Shell) -> None:
        done = three("stop", "--all", "--kill", "--json")
        ended = [(one["pod"], one["status"]) for one in json.loads(done.stdout)]
        assert ended == [("one", 9), ("three", 9), ("two", 9)]
        assert runtime.pods(three.root) == []
        nobody = three("stop", "--all")
        assert (nobody.returncode, nobody.stderr) == (0, "zaptrace: no pod is running\n")

    @pytest.mark.parametrize("argv", [("stop",), ("stop", "one", "--all")])
    def test_none_or_both_is_wrong_usage(self, zaptrace: Shell, argv: tuple[str, ...]) -> None:
        assert zaptrace(*argv).returncode == 2


def test_the_latest_pod(three: Shell, tmp_path: Path) -> None:
    image = tmp_path / "x.zap"
    assert three("checkpoint", "--to", str(image), "--latest").returncode == 0
    assert three("show", "--latest", "--json").returncode == 0
    assert json.loads(three("show", "--latest", "--json").stdout)["pod"]["name"] == "three"
    assert json.loads(three("ps", "--latest", "--json").stdout)["name"] == "three"
    assert three("signal", "--latest", "TERM").returncode == 0
    assert three("wait", "three").returncode == 143
    assert three("wait", "--latest").stdout == "three was ended by signal 15\n"
    assert three("stop", "--latest").stdout == "two was ended by signal 15\n"
    assert three("restore", "--latest", "-d").stdout == "three\n"
    assert three("logs", "--latest").returncode == 0
    assert three("run", "--", "echo", "--latest").stdout == "--latest\n"


def test_no_latest(zaptrace: Shell, tmp_path: Path) -> None:
    done = zaptrace("stop", "--latest")
    assert (done.returncode, "there is no latest pod" in done.stderr) == (3, True)
    done = zaptrace("restore", "--latest")
    assert (done.returncode, "there is no latest image" in done.stderr) == (7, True)


def test_an_image_is_replaced_when_the_new_one_is_whole(zaptrace: Shell, tmp_path: Path) -> None:
    assert zaptrace("run", "-d", "--name", "web", *SLEEP).returncode == 0
    image = tmp_path / "web.zap"
    first = zaptrace("checkpoint", "web", "--to", str(image), "--codec", "none")
    assert first.returncode == 0 and " of " not in first.stdout
    before = image.stat().st_ino
    again = zaptrace("checkpoint", "web", "--to", str(image))
    assert (again.returncode, "--overwrite" in again.stderr) == (7, True)
    over = zaptrace("checkpoint", "web", "--to", str(image), "--overwrite", "--stop")
    assert over.returncode == 0 and " of " in over.stdout, over.stderr
    assert image.stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["web.zap"], (
        "nothing is left of the former"
    )
    size = sum(path.stat().st_size for path in image.iterdir() if path.name != "manifest")
    parts = json.loads(zaptrace("show", str(image), "--json").stdout)["parts"]
    assert {part["codec"] for part in parts.values()} == {"zstd"}
    assert sum(part["stored"] for part in parts.values()) == size
    assert zaptrace("restore", str(image), "-d").returncode == 0


def test_what_is_no_image_is_not_replaced(zaptrace: Shell, tmp_path: Path) -> None:
    assert zaptrace("run", "-d", "--name", "web", *SLEEP).returncode == 0
    (tmp_path / "photos").mkdir()
    done = zaptrace("checkpoint", "web", "--to", str(tmp_path / "photos"), "--overwrite")
    assert (done.returncode, "something that is no image" in done.stderr) == (7, True)
    assert (tmp_path / "photos").is_dir()

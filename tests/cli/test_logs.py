"""The last lines of a log, also of one that was put aside and one that goes on."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from harness.shell import Shell
from harness.supervisors import PATIENCE_S, eventually


@pytest.mark.parametrize(
    ("lines", "shown"),
    [("0", ""), ("1", "4\n"), ("3", "2\n3\n4\n"), ("99", "1\n2\n3\n4\n")],
)
def test_the_last_lines(zaptrace: Shell, lines: str, shown: str) -> None:
    assert zaptrace("run", "-d", "--name", "web", "--", "seq", "4").returncode == 0
    assert zaptrace("wait", "web").returncode == 0
    assert zaptrace("logs", "-n", lines, "web").stdout == shown


def test_some_of_them_were_put_aside(zaptrace: Shell) -> None:
    assert zaptrace("run", "-d", "--name", "web", "--", "seq", "4").returncode == 0
    assert zaptrace("wait", "web").returncode == 0
    ended = zaptrace.root / ".ended"
    (ended / "web.log.old").write_text("a\nb\n")
    assert zaptrace("logs", "-n", "5", "web").stdout == "b\n1\n2\n3\n4\n"
    assert zaptrace("logs", "web").stdout == "a\nb\n1\n2\n3\n4\n"


def test_and_what_comes_then(zaptrace: Shell, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"seq 4; while ! test -e {go}; do sleep 0.05; done; echo more"
    assert zaptrace("run", "-d", "--name", "web", "--", "sh", "-c", script).returncode == 0
    eventually(lambda: zaptrace("logs", "web").stdout == "1\n2\n3\n4\n")
    with zaptrace.start("logs", "-f", "-n", "1", "web") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "4\n"
        go.touch()
        out, said = following.communicate(timeout=PATIENCE_S)
    assert out == "more\n", said


TIMES = "0 100 0\n100 200 6\n230 300 12\n"
LOG = "first\nsecon\nthird\n"


@pytest.mark.parametrize(
    ("since", "shown"),
    [("50", LOG), ("150", "secon\nthird\n"), ("210", "secon\nthird\n"), ("250", "third\n"),
     ("310", "third\n"), ("360", "")],
)  # fmt: skip
def test_since_a_time(zaptrace: Shell, since: str, shown: str) -> None:
    """Of writes at 100, at 200 and 230, at 300 and 350."""
    ended = zaptrace.root / ".ended"
    ended.mkdir(mode=0o700)
    (ended / "web.json").write_text('{"how": "exited", "status": 0}')
    for name, text in (("web.log", LOG), ("web.log.times", TIMES)):
        (ended / name).write_text(text)
        (ended / name).chmod(0o600)
    os.utime(ended / "web.log", (350, 350))
    when = datetime.datetime.fromtimestamp(float(since), datetime.UTC).isoformat()
    done = zaptrace("logs", "--since", when, "web")
    assert (done.stdout, done.stderr) == (shown, "")


def test_since_is_noted(zaptrace: Shell) -> None:
    assert zaptrace("run", "-d", "--name", "web", "--", "seq", "4").returncode == 0
    assert zaptrace("wait", "web").returncode == 0
    assert zaptrace("logs", "--since", "1h", "web").stdout == "1\n2\n3\n4\n"
    assert zaptrace("logs", "--since", "2099-01-01", "web").stdout == ""
    assert zaptrace("logs", "--since", "soon", "web").returncode == 2


def test_a_log_of_a_size(zaptrace: Shell) -> None:
    """Of 100 kB the last 8 are there, and 16 at most; the times go with them."""
    script = "for i in $(seq 2000); do printf '%49d\\n' $i; done"
    run = ("run", "-d", "--name", "web", "--log-size", "8K", "--", "sh", "-c", script)
    assert zaptrace(*run).returncode == 0
    assert zaptrace("wait", "web").returncode == 0
    lines = zaptrace("logs", "web").stdout.splitlines()
    assert lines[-1].strip() == "2000" and len(lines) * 50 <= 2 * 8192
    assert (zaptrace.root / ".ended" / "web.log").stat().st_size <= 8192
    for wrong in ("1K", "much", "-1", "16X"):
        assert zaptrace("run", "-d", "--log-size", wrong, "--", "true").returncode == 2

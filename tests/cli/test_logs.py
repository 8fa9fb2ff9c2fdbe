"""The last lines of a log, also of one that was put aside and one that goes on."""

from __future__ import annotations

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

"""How much zaptrace says of itself, where, and by which name its processes are known."""

from __future__ import annotations

from pathlib import Path

from harness.shell import Shell
from zaptrace.supervisor import runtime


def test_quiet_is_without_remarks(zaptrace: Shell) -> None:
    assert zaptrace("stop", "--all").stderr == "zaptrace: no pod is running\n"
    assert zaptrace("-q", "stop", "--all").stderr == ""
    assert "there is no pod" in zaptrace("-q", "stop", "nobody").stderr


def test_verbose_and_a_log_file(zaptrace: Shell, tmp_path: Path) -> None:
    file = tmp_path / "zaptrace.log"
    said = zaptrace(
        "-v", "--log-file", str(file), "run", "-d", "--name", "web", "--", "sleep", "60"
    )
    assert said.stdout == "web\n"
    assert "info: zaptrace run" in said.stderr
    assert zaptrace("stop", "web").returncode == 0
    assert "ended: " in file.read_text(), "the supervisor's words are kept when it is gone"
    assert zaptrace("--log-file", "/nowhere/x", "ps").returncode == 2


def test_a_supervisor_is_known_by_its_pod(zaptrace: Shell) -> None:
    assert zaptrace("run", "-d", "--name", "web", "--", "sleep", "60").returncode == 0
    proc = Path("/proc") / str(runtime.supervisor_pid(zaptrace.root / "web"))
    assert (proc / "comm").read_text() == "zaptrace: web\n"
    assert (proc / "cmdline").read_bytes().rstrip(b"\0") == b"zaptrace: web"


def test_a_program_is_not_told_of_it(zaptrace: Shell, tmp_path: Path) -> None:
    plain = zaptrace("run", "--", "env").stdout
    assert (
        zaptrace("-q", "-v", "--log-file", str(tmp_path / "x"), "run", "--", "env").stdout == plain
    )


def test_quiet_is_without_a_bar(zaptrace: Shell, tmp_path: Path) -> None:
    """On a terminal, where there is one."""
    assert zaptrace("run", "-d", "--name", "web", "--", "sleep", "600").returncode == 0
    zaptrace.env["TERM"] = "xterm"
    for quiet in ((), ("-q",)):
        to = ("--to", str(tmp_path / "web.zap"), "--overwrite")
        with zaptrace.terminal(*quiet, "checkpoint", "web", *to) as screen:
            assert screen.end() == 0
            assert b"web.zap: 1 process, 1 thread, " in screen.shown
            assert (b"checkpoint web" in screen.shown) == (not quiet)

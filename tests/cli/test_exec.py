"""A process more in a pod that runs: what it sees, how it ends, and where it goes."""

from __future__ import annotations

import os
import signal
import termios
from pathlib import Path

import pytest

from harness.shell import Shell
from harness.supervisors import PATIENCE_S, eventually


@pytest.fixture
def web(zaptrace: Shell) -> Shell:
    done = zaptrace("run", "-d", "--name", "web", "--", "sleep", "600")
    assert done.returncode == 0, done.stderr
    return zaptrace


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


class TestWithOurStdio:
    def test_passes_stdio_and_status(self, web: Shell) -> None:
        script = "cat; echo err >&2; exit 3"
        done = web("exec", "web", "--", "sh", "-c", script, text_in="in\n")
        assert (done.stdout, done.stderr, done.returncode) == ("in\n", "err\n", 3)

    def test_is_of_the_pod(self, web: Shell) -> None:
        """It sees the pod's processes, is one of them, and the supervisor is its parent."""
        root = web("exec", "web", "--", "sh", "-c", "kill -0 $0 && echo $PPID $$", "2147483647")
        assert root.returncode == 1, "what is not in the pod does not exist"
        done = web("exec", "web", "--", "sh", "-c", "echo $PPID; kill -TERM $(pgrep -x sleep)")
        assert done.stdout == "1\n", done.stderr
        assert web("wait", "web").returncode == 143

    def test_environment_and_directory_are_ours(self, web: Shell, tmp_path: Path) -> None:
        done = web(
            "exec", "web", "--env", "A=1=2", "--", "sh", "-c", "pwd; echo $A-$B; umask",
            env={**web.env, "B": "b"}, umask=0o27, cwd=tmp_path,
        )  # fmt: skip
        assert done.stdout == f"{tmp_path}\n1=2-b\n0027\n", done.stderr

    def test_how_a_shell_reports_it(self, web: Shell) -> None:
        assert web("exec", "web", "--", "sh", "-c", "kill -9 $$").returncode == 137
        missing = web("exec", "web", "--", "/no/such/thing")
        assert (missing.returncode, "cannot run" in missing.stderr) == (127, True)
        assert web("exec", "web", "--", "no-such-thing").returncode == 127
        assert web("exec", "web", "--", "/etc/passwd").returncode == 126
        assert web("exec", "web").returncode == 2
        assert web("exec", "nobody", "--", "true").returncode == 3
        assert web("exec", "web", "--", "true").returncode == 0, "the pod is as it was"

    def test_options_after_the_command_are_the_commands(self, web: Shell) -> None:
        assert web("exec", "web", "echo", "-d", "--json").stdout == "-d --json\n"
        assert web("exec", "--latest", "echo", "-d").stdout == "-d\n"
        assert web("exec", "web", "-i", "--", "echo", "-d", "--", "x").stdout == "-d -- x\n"

    def test_signals_are_passed_on(self, web: Shell) -> None:
        script = "trap 'echo got; exit 9' USR1; echo up; while :; do sleep 0.05; done"
        with web.start("exec", "web", "--", "sh", "-c", script) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "up\n"
            child.send_signal(signal.SIGUSR1)
            assert child.stdout.read() == "got\n"
            assert child.wait(PATIENCE_S) == 9

    def test_several_at_once(self, web: Shell) -> None:
        with web.start("exec", "web", "--", "sh", "-c", "echo up; read x; exit 4", stdin=-1) as one:
            assert one.stdout is not None and one.stdout.readline() == "up\n"
            assert web("exec", "web", "--", "sh", "-c", "exit 5").returncode == 5
            one.communicate("\n", timeout=PATIENCE_S)
            assert one.returncode == 4

    def test_a_frozen_pod_says_so(self, web: Shell) -> None:
        assert web("freeze", "web").returncode == 0
        done = web("exec", "web", "--", "true")
        assert (done.returncode, "it is frozen" in done.stderr) == (125, True)
        assert web("thaw", "web").returncode == 0

    def test_the_pod_ends(self, web: Shell) -> None:
        with web.start("exec", "web", "--", "sh", "-c", "echo up; exec sleep 600") as child:
            assert child.stdout is not None and child.stdout.readline() == "up\n"
            assert web("stop", "web", "--kill").returncode == 0
            assert child.wait(PATIENCE_S) == 137


def test_on_a_terminal(web: Shell) -> None:
    with web.terminal("exec", "-it", "web", "--", "bash", "--norc") as screen:
        screen.type(b"stty size; echo pa''rent $PPID\n")
        screen.expect(rb"30 100\r\n")
        screen.expect(rb"parent 1\r\n")
        termios.tcsetwinsize(screen.master, (40, 90))
        screen.type(b"stty size\n")
        screen.expect(rb"40 90\r\n")
        screen.type(b"echo a''job; sleep 601\n")
        screen.expect(rb"ajob\r\n")
        eventually(lambda: web("ps", "web").stdout.count("sleep") == 2, "the job")
        screen.type(b"\x03")
        screen.expect(rb"\^C")
        screen.expect(rb"\$ ")
        screen.type(b"echo $?\n")
        screen.expect(rb"130\r\n")  # what is written just before a session ends, Linux may drop
        screen.type(b"exit 7\n")
        assert screen.end() == 7
        assert screen.is_cooked()


@pytest.mark.parametrize("and_then", ["exit 3", "kill -9 $(pgrep -x sleep)"], ids=["it", "the pod"])
def test_its_last_words_are_shown(web: Shell, and_then: str) -> None:
    """Whether it ends alone, or with the pod."""
    script = f"seq 2000; echo la''st; {and_then}"
    with web.terminal("exec", "-it", "web", "--", "sh", "-c", script) as screen:
        screen.expect(rb"\r\n2000\r\nlast\r\n")
        status = screen.end()
    assert status == 3 or and_then != "exit 3"


def test_a_client_that_is_gone_has_hung_up(web: Shell) -> None:
    with web.terminal("exec", "web", "--", "bash", "--norc") as screen:
        screen.type(b"echo rea''dy\n")
        screen.expect(rb"ready\r\n")
        screen.child.kill()
    eventually(lambda: "bash" not in web("ps", "web").stdout, "SIGHUP to the shell")


def test_without_a_terminal_there_is_none_to_give(web: Shell) -> None:
    done = web("exec", "-t", "web", "--", "true")
    assert (done.returncode, "this is no terminal" in done.stderr) == (125, True)


class TestCarried:
    COUNT = "i=0; while :; do i=$((i+1)); echo $i >> {}; sleep 0.05; done"

    @pytest.mark.parametrize("how", ["-d", "--cwd=/"])
    def test_it_goes_on_from_the_image(self, web: Shell, tmp_path: Path, how: str) -> None:
        """Once in the background, and once with a client, whose pipes are the pod's stdio then."""
        rows, image = tmp_path / "rows", str(tmp_path / "web.zap")
        script = self.COUNT.format(rows)
        with web.start("exec", "web", how, "--", "sh", "-c", f"echo on; {script}") as child:
            eventually(lambda: len(lines(rows)) > 3, "it runs")
            done = web("checkpoint", "web", "--to", image, "--stop")
            assert done.returncode == 0, done.stderr
            assert child.wait(PATIENCE_S) == 0
            if how != "-d":
                assert child.stderr is not None and "stopped by a checkpoint" in child.stderr.read()
        then = len(lines(rows))
        assert web("restore", image, "-d").returncode == 0
        eventually(lambda: len(lines(rows)) > then + 3, "it goes on")
        assert lines(rows) == [str(i + 1) for i in range(len(lines(rows)))], "and nothing twice"

    def test_with_a_terminal_of_a_client(self, web: Shell, tmp_path: Path) -> None:
        """While the pod goes on its terminal is as it was; in the image its stdin is at its end."""
        image = str(tmp_path / "web.zap")
        with web.terminal("exec", "web", "--", "bash", "--norc") as screen:
            screen.type(b"echo rea''dy\n")
            screen.expect(rb"ready\r\n")
            done = web("checkpoint", "web", "--to", image)
            assert done.returncode == 0, done.stderr
            screen.type(b"echo st''ill\n")
            screen.expect(rb"still\r\n")
            screen.type(b"exit\n")
            assert screen.end() == 0
        assert web("stop", "web").returncode == 0
        assert web("restore", image, "-d").returncode == 0
        eventually(lambda: "bash" not in web("ps", "web").stdout, "its stdin has ended")

    def test_one_that_was_restored_is_joined_too(self, web: Shell, tmp_path: Path) -> None:
        image = str(tmp_path / "web.zap")
        assert web("checkpoint", "web", "--to", image, "--stop").returncode == 0
        assert web("restore", image, "-d", "--name", "moved").returncode == 0
        done = web("exec", "moved", "--", "sh", "-c", "echo $PPID; pgrep -x sleep; exit 6")
        assert done.returncode == 6, done.stderr
        assert done.stdout.splitlines()[0] == "1"
        assert web("checkpoint", "moved", "--to", image, "--overwrite", "--stop").returncode == 0
        assert web("restore", image, "-d").returncode == 0


def test_in_the_background(web: Shell) -> None:
    done = web("exec", "-d", "web", "--", "sh", "-c", "echo from it; sleep 600")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in web("ps", "web").stdout
    eventually(lambda: "from it" in web("logs", "web").stdout, "its output is in the log")
    assert os.path.isdir(web.root)

"""The command line: what a shell user sees. Pods are real, but where a fake one is asked for."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from harness.shell import Shell
from harness.supervisors import PATIENCE_S, eventually, is_gone
from zaptrace.cli._verbs import VERBS
from zaptrace.supervisor import runtime

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def fake(zaptrace: Shell) -> Shell:
    """The same with pods that can be made to do things: see fake_pod.py."""
    return Shell(zaptrace.root, "harness.fake_pod")


class TestRunWithOurStdio:
    def test_passes_stdio_and_status(self, zaptrace: Shell) -> None:
        done = zaptrace("run", "--", "sh", "-c", "cat; echo err >&2; exit 3", text_in="in\n")
        assert (done.stdout, done.stderr, done.returncode) == ("in\n", "err\n", 3)

    def test_options_after_the_command_are_the_commands(self, zaptrace: Shell) -> None:
        assert zaptrace("run", "echo", "--name", "-d").stdout == "--name -d\n"

    @pytest.mark.parametrize(("script", "status"), [("kill -9 $$", 137), ("kill -TERM $$", 143)])
    def test_signals_as_a_shell_reports_them(
        self, zaptrace: Shell, script: str, status: int
    ) -> None:
        assert zaptrace("run", "--", "sh", "-c", script).returncode == status

    def test_not_found_and_not_executable(self, zaptrace: Shell, tmp_path: Path) -> None:
        missing = zaptrace("run", "--", "/no/such/thing")
        assert missing.returncode == 127 and missing.stderr.startswith("zaptrace: cannot run")
        (tmp_path / "plain").write_text("data")
        assert zaptrace("run", "--", str(tmp_path / "plain")).returncode == 126

    def test_own_failures_are_125_and_wrong_usage_2(self, zaptrace: Shell) -> None:
        assert zaptrace("run", "--name", "no/name", "--", "true").returncode == 125
        assert zaptrace("run").returncode == 2
        assert zaptrace("run", "--nmae", "x", "true").returncode == 2

    def test_cwd_env_and_umask(self, zaptrace: Shell, tmp_path: Path) -> None:
        script = "pwd; echo $A-$B; umask"
        done = zaptrace(
            "run", "--cwd", str(tmp_path), "--env", "A=1=2", "--", "sh", "-c", script,
            env={**zaptrace.env, "B": "b"}, umask=0o27,
        )  # fmt: skip
        assert done.stdout == f"{tmp_path}\n1=2-b\n0027\n"

    @pytest.mark.parametrize(
        "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
    )
    def test_forwards_signals(self, zaptrace: Shell, number: signal.Signals) -> None:
        name = number.name.removeprefix("SIG")
        script = f"trap 'echo got; exit 9' {name}; echo up; while :; do sleep 0.05; done"
        with zaptrace.start("run", "--", "sh", "-c", script) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "up\n"
            child.send_signal(number)
            assert child.stdout.read() == "got\n"
            assert child.wait(PATIENCE_S) == 9

    def test_sigint_reaches_the_whole_group(self, zaptrace: Shell) -> None:
        with zaptrace.start("run", "--", "sh", "-c", "echo up; sleep 60; echo no") as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "up\n"
            time.sleep(0.2)
            child.send_signal(signal.SIGINT)
            assert child.stdout.read() == ""
            assert child.wait(PATIENCE_S) == 130

    def test_stops_and_continues_with_us(self, zaptrace: Shell) -> None:
        with zaptrace.start("run", "--name", "web", "--", "sleep", "60") as child:
            eventually(lambda: runtime.pods(zaptrace.root) == ["web"])

            def state() -> str:
                done = zaptrace("ps", "web", "--json")
                return json.loads(done.stdout)["processes"][0]["state"] if done.stdout else ""

            eventually(lambda: state() == "S")
            child.send_signal(signal.SIGTSTP)
            eventually(lambda: state() in "Tt")
            eventually(
                lambda: (
                    Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
                )
            )
            child.send_signal(signal.SIGCONT)
            eventually(lambda: state() == "S")
            child.terminate()
            assert child.wait(PATIENCE_S) == 143

    def test_a_pod_that_leaves_says_so(self, fake: Shell, tmp_path: Path) -> None:
        with fake.start("run", "--name", "web", "--", "sleep", "60") as child:
            eventually(lambda: runtime.pods(fake.root) == ["web"])
            assert fake("migrate", "web", "tcp://there:1").returncode == 0
            assert child.wait(PATIENCE_S) == 0
            assert child.stderr is not None
            assert child.stderr.read() == (
                "zaptrace: pod web moved to tcp://there:1 and runs on there\n"
            )


class TestRunOnATerminal:
    def test_gets_a_terminal_like_ours(self, zaptrace: Shell) -> None:
        with zaptrace.terminal("run", "--", "sh", "-c", "tty; stty size; exit 3") as screen:
            assert screen.end() == 3
            assert b"/dev/pts/" in screen.shown and b"30 100" in screen.shown
            assert screen.is_cooked()

    def test_typing_ctrl_c_and_resizing(self, zaptrace: Shell) -> None:
        script = "trap 'echo int' INT; trap 'stty size' WINCH; while read x; do echo =$x=; done"
        with zaptrace.terminal("run", "--", "bash", "-c", script) as screen:
            eventually(lambda: not screen.is_cooked())
            screen.type(b"hello\r")
            screen.expect(b"=hello=")
            screen.type(b"\x03")
            screen.expect(b"int")
            termios.tcsetwinsize(screen.slave, (40, 120))
            screen.child.send_signal(signal.SIGWINCH)
            screen.type(b"\r")
            screen.expect(b"40 120")
            screen.type(b"\x04")
            assert screen.end() == 0
            assert screen.is_cooked()

    def test_detach_and_attach(self, zaptrace: Shell) -> None:
        script = "while read x; do echo =$x=; done; exit 5"
        with zaptrace.terminal("run", "--name", "web", "--", "sh", "-c", script) as screen:
            eventually(lambda: not screen.is_cooked())
            screen.type(b"one\r")
            screen.expect(b"=one=")
            screen.type(b"\x1cd")
            assert screen.end() == 0
            assert b"detached from pod web" in screen.shown
            assert screen.is_cooked()
        with zaptrace.terminal("attach", "web") as screen:
            screen.expect(b"=one=")  # the scrollback
            screen.type(b"two\r")
            screen.expect(b"=two=")
            screen.type(b"\x04")
            assert screen.end() == 5
        assert zaptrace("logs", "web").returncode == 3

    def test_the_key_that_detaches_can_be_sent(self, zaptrace: Shell) -> None:
        script = "trap 'echo quit' QUIT; echo up; while read x || :; do echo =$x=; done"
        with zaptrace.terminal("run", "--", "bash", "-c", script) as screen:
            screen.expect(b"up")
            screen.type(b"\x1c\x1c\r")
            screen.expect(b"quit")
            screen.type(b"\x1c")  # alone, after a while
            screen.expect(b"quit")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_survives_its_client(self, zaptrace: Shell, number: signal.Signals) -> None:
        script = "trap '' TERM; while read x; do echo =$x=; done"
        with zaptrace.terminal("run", "--name", "web", "--", "sh", "-c", script) as screen:
            eventually(lambda: not screen.is_cooked())
            if number == signal.SIGKILL:
                screen.child.kill()
                screen.child.wait()
            else:
                screen.child.terminate()
        with zaptrace.terminal("attach", "web") as screen:
            eventually(lambda: not screen.is_cooked())
            screen.type(b"still\r")
            screen.expect(b"=still=")

    def test_a_killed_pod_leaves_the_terminal_as_it_was(self, zaptrace: Shell) -> None:
        with zaptrace.terminal("run", "--name", "web", "--", "cat") as screen:
            eventually(lambda: not screen.is_cooked())
            assert zaptrace("stop", "web", "--kill").returncode == 0
            assert screen.end() == 137
            assert screen.is_cooked()

    def test_a_killed_supervisor_leaves_nothing(self, zaptrace: Shell) -> None:
        with zaptrace.terminal(
            "run", "--name", "web", "--", "sh", "-c", "sleep 60 | cat"
        ) as screen:
            eventually(lambda: zaptrace("ps", "web").stdout.count("\n") == 5)
            facts = json.loads(zaptrace("ps", "web", "--json").stdout)
            os.kill(facts["meta"]["supervisor"], signal.SIGKILL)
            assert screen.end() == 125
            assert b"the supervisor of pod 'web' died" in screen.shown
            assert screen.is_cooked()
        for process in facts["processes"]:
            eventually(lambda pid=process["rpid"]: is_gone(pid))
        assert zaptrace("ps", "--json").stdout == "[]\n"

    def test_output_of_a_short_pod_is_whole(self, zaptrace: Shell) -> None:
        with zaptrace.terminal("run", "--", "seq", "50000") as screen:
            assert screen.end() == 0
            while select.select([screen.master], [], [], 0)[0]:
                screen.look()
            assert screen.shown.split() == [b"%d" % n for n in range(1, 50001)]

    def test_a_shell_with_jobs_comes_back(self, zaptrace: Shell, tmp_path: Path) -> None:
        image = str(tmp_path / "sh.zap")
        with zaptrace.terminal("run", "--name", "sh", "--", "bash", "--norc") as screen:
            screen.type(b"PS1=ready:; sleep 500\r")
            eventually(lambda: "sleep" in zaptrace("ps", "sh").stdout)
            screen.type(b"\x1a")
            screen.expect(rb"Stopped")
            screen.expect(rb"ready:")
            screen.type(b"sleep 400 & X=kept\r")
            screen.expect(rb"ready:")
            screen.type(b"echo was-")  # a line that is not ended
            screen.expect(rb"echo was-")
            assert zaptrace("checkpoint", "sh", "--to", image, "--stop").returncode == 0
            assert screen.end() == 0
            assert screen.is_cooked()
        with zaptrace.terminal("restore", image) as screen:
            eventually(lambda: not screen.is_cooked())
            screen.type(b"$X; jobs\r")
            screen.expect(rb"\nwas-kept")
            screen.expect(rb"Stopped +sleep 500")
            screen.expect(rb"Running +sleep 400")
            screen.type(b"fg %1\r")
            screen.expect(rb"\nsleep 500")
            # Only then ^C is its own.
            eventually(lambda: not re.search('"[Tt]"', zaptrace("ps", "--json", "sh").stdout))
            screen.type(b"\x03")
            screen.expect(rb"ready:")
            screen.type(b"kill %2; exit 5\r")
            assert screen.end() == 5


class TestDetached:
    def test_log_ps_signal_stop(self, zaptrace: Shell) -> None:
        script = "trap 'echo usr1' USR1; echo up; echo err >&2; while :; do sleep 0.05; done"
        done = zaptrace("run", "-d", "--name", "web", "--", "sh", "-c", script)
        assert (done.stdout, done.stderr, done.returncode) == ("web\n", "", 0)
        eventually(lambda: zaptrace("logs", "web").stdout == "up\nerr\n")
        (listed,) = json.loads(zaptrace("ps", "--json").stdout)
        assert (listed["name"], listed["state"]) == ("web", "running")
        assert "web" in zaptrace("ps").stdout
        assert zaptrace("signal", "web", "usr1").returncode == 0
        eventually(lambda: "usr1" in zaptrace("logs", "web").stdout)
        assert "signal 15" in zaptrace("stop", "web").stdout
        assert "usr1" in zaptrace("logs", "web").stdout
        assert zaptrace("ps", "--json").stdout == "[]\n"

    def test_logs_follow_to_the_end(self, zaptrace: Shell) -> None:
        zaptrace("run", "-d", "--name", "web", "--", "sh", "-c", "echo a; sleep 0.5; echo b")
        assert zaptrace("logs", "-f", "web").stdout == "a\nb\n"

    def test_freeze_and_thaw(self, zaptrace: Shell) -> None:
        zaptrace("run", "-d", "--name", "web", "--", "sleep", "60")
        zaptrace("freeze", "web")
        assert json.loads(zaptrace("ps", "--json").stdout)[0]["state"] == "frozen"
        zaptrace("thaw", "web")
        assert json.loads(zaptrace("ps", "--json").stdout)[0]["state"] == "running"

    def test_checkpoint_and_restore(self, zaptrace: Shell, tmp_path: Path) -> None:
        image = tmp_path / "web.zap"
        script = "echo on; read x <$0; echo $x; sleep 60"
        os.mkfifo(tmp_path / "fifo")
        zaptrace("run", "-d", "--name", "web", "--", "sh", "-c", script, str(tmp_path / "fifo"))
        eventually(lambda: zaptrace("logs", "web").stdout == "on\n")
        done = zaptrace("checkpoint", "web", "--to", "web.zap", "--stop", cwd=tmp_path)
        assert done.returncode == 0 and "1 process, " in done.stdout, done
        assert zaptrace("check", str(image)).returncode == 0
        assert zaptrace("restore", str(image), "-d", "--name", "two").stdout == "two\n"
        (tmp_path / "fifo").write_text("and on\n")
        eventually(lambda: zaptrace("logs", "two").stdout == "and on\n")
        done = zaptrace("checkpoint", "two", "--to", str(tmp_path / "2"), "--json")
        assert json.loads(done.stdout)["processes"] == 2
        done = zaptrace("check", "two")
        assert done.returncode == 0 and "yes   pod two can be checkpointed" in done.stdout, done
        assert re.search(r"^ {6}tried: [\d.]+ KiB, and it stood still for ", done.stdout, re.M)
        zaptrace("stop", "two")

    def test_restore_in_the_foreground(self, zaptrace: Shell, tmp_path: Path) -> None:
        image = str(tmp_path / "web.zap")
        script = 'read x; echo "got $x"; exit 4'
        with zaptrace.start(
            "run", "--name", "web", "--", "sh", "-c", script, stdin=subprocess.PIPE
        ) as child:
            eventually(lambda: runtime.pods(zaptrace.root) == ["web"])
            assert zaptrace("checkpoint", "web", "--to", image, "--stop").returncode == 0
            assert child.wait(PATIENCE_S) == 0
            assert child.stderr is not None and "stopped by a checkpoint" in child.stderr.read()
        done = zaptrace("restore", image, text_in="through\n")
        assert (done.stdout, done.returncode) == ("got through\n", 4), done

    def test_show(self, zaptrace: Shell, tmp_path: Path) -> None:
        image = str(tmp_path / "web.zap")
        zaptrace("run", "-d", "--name", "web", "--", "sh", "-c", "sleep 60 | cat")
        eventually(lambda: len(json.loads(zaptrace("ps", "web", "--json").stdout)["processes"]) > 2)
        zaptrace("checkpoint", "web", "--to", image, "--stop", "--codec", "zstd")
        shown = zaptrace("show", image).stdout
        assert re.search(r"├─ \d+ sleep", shown) and "rw-p" in shown
        assert "pipe" in shown and "before zstd" in shown
        assert "rw-p" not in zaptrace("show", "--short", image).stdout
        plain = json.loads(zaptrace("show", "--json", image).stdout)
        assert {p["comm"] for p in plain["states"]["process"]} == {"sh", "sleep", "cat"}

    def test_damaged_image(self, zaptrace: Shell, tmp_path: Path) -> None:
        for verb in ("show", "restore"):
            done = zaptrace(verb, str(tmp_path))
            assert done.returncode in (8, 125) and "image" in done.stderr, done
        done = zaptrace("check", str(tmp_path))
        assert done.returncode == 1 and not done.stderr
        assert done.stdout.startswith("no    image ") and "needed" in done.stdout, done
        done = zaptrace("check", "--json", str(tmp_path))
        told = json.loads(done.stdout)
        assert done.returncode == 1 and not told["ok"]
        assert told["errors"][0]["class"] == "BadImage" and told["errors"][0]["found"]

    def test_errors_in_the_house_form(self, fake: Shell, tmp_path: Path) -> None:
        fake("run", "-d", "--name", "web", "--", "sleep", "60")
        done = fake("checkpoint", "web", "--to", str(tmp_path / "unsupported"))
        assert done.returncode == 4 and done.stdout == ""
        assert done.stderr == (
            "zaptrace: cannot checkpoint pod 'web': process 7 (nginx), fd 12 is io_uring\n"
            "  needed   a room that can capture it\n"
            "  found    none\n"
            "  do       restart the pod\n"
            "  changed  nothing; the pod is running again\n"
            "  more     zaptrace help other\n"
        )
        taken = fake("run", "--name", "web", "--", "true")
        assert taken.returncode == 125 and "the name is taken" in taken.stderr
        nobody = fake("stop", "nobody")
        assert nobody.returncode == 3 and "running pods: web" in nobody.stderr


class TestTheRest:
    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_has_help_with_examples(self, zaptrace: Shell, verb: str) -> None:
        done = zaptrace(verb, "--help")
        assert done.returncode == 0, done.stderr
        assert f"zaptrace {verb}" in done.stdout

    def test_completion_knows_pods(self, zaptrace: Shell) -> None:
        zaptrace("run", "-d", "--name", "web", "--", "sleep", "60")
        env = zaptrace.env | {"COMP_WORDS": "zaptrace stop w", "COMP_CWORD": "2"}
        env |= {"_ZAPTRACE_COMPLETE": "bash_complete"}
        assert zaptrace(env=env).stdout == "plain,web\n"
        assert "_ZAPTRACE_COMPLETE" in zaptrace("completion", "bash").stdout

    def test_keys(self, zaptrace: Shell, tmp_path: Path) -> None:
        env = zaptrace.env | {"ZAPTRACE_CONFIG_DIR": str(tmp_path / "config")}
        key = zaptrace("keys", "show", env=env).stdout
        assert key.startswith("zap-") and zaptrace("keys", "show", env=env).stdout == key
        other = env | {"ZAPTRACE_CONFIG_DIR": str(tmp_path / "other")}
        theirs = zaptrace("keys", "show", env=other).stdout.strip()
        assert zaptrace("keys", "authorize", theirs, "them", env=env).returncode == 0
        assert f"{theirs} them" in (tmp_path / "config" / "authorized_hosts").read_text()
        assert zaptrace("keys", "trust", "tcp://there:1", "zap-no", env=env).returncode == 5

    def test_check_this_host(self, zaptrace: Shell) -> None:
        abilities = json.loads(zaptrace("check", "--json").stdout)
        assert {"x86-64", "run a pod", "images, here"} <= {a["name"] for a in abilities}
        assert {"name", "ok", "because", "costs", "do", "needed"} == abilities[0].keys()
        shown = zaptrace("check")
        assert shown.returncode == 0
        lines = shown.stdout.splitlines()
        assert len(lines) <= 40 and all(len(line) <= 100 for line in lines)
        assert len([line for line in lines if line.startswith(("yes", "no "))]) == len(abilities)
        assert zaptrace("check", "neither").returncode == 1

    def test_starts_fast(self, zaptrace: Shell, tmp_path: Path) -> None:
        """Where there is nothing to sweep: what others left needs more to be loaded."""
        code = "import sys; from zaptrace.cli import group; group.run(['ps','-h']); print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**zaptrace.env, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done
        loaded = set(done.stdout.split())
        assert "zaptrace.cli.ps" in loaded, done
        assert not loaded & {"zmq", "rich", "msgpack", "asyncio", "zaptrace._native"}

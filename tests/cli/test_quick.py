"""What is answered without click is what click would have answered, and the start loads only what it needs.

How long that takes is bench/experiments/start.py's to tell; what it costs is what is loaded, which is held
here.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from harness.supervisors import end_all, eventually
from zaptrace.cli import _quick, _start, group
from zaptrace.cli._common import POD
from zaptrace.cli._verbs import HELP, VERBS
from zaptrace.supervisor import runtime

LOADED_BY_HELP = {"zaptrace", "zaptrace.cli", "zaptrace.cli._quick", "zaptrace.cli._verbs"}
LOADED_BY_RUN = LOADED_BY_HELP | {
    "zaptrace.cancel",
    *("zaptrace.cli._start", "zaptrace.cli._foreground", "zaptrace.cli._tell"),
    *("zaptrace.errors", "zaptrace.ids", "zaptrace.limits", "zaptrace.log"),
    *("zaptrace.record", "zaptrace.text"),
    *("zaptrace._native", "zaptrace.linux", "zaptrace.linux.native"),
    *("zaptrace.linux.private", "zaptrace.linux.records"),
    *("zaptrace.pod", "zaptrace.pod.command", "zaptrace.pod.looking", "zaptrace.pod.pod"),
    "zaptrace.pod.stdio",
    "zaptrace.supervisor",
    *(
        f"zaptrace.supervisor.{name}"
        for name in (
            *("control", "control_socket", "end_record", "engine", "kept", "making", "own_process"),
            *("runtime", "starter", "stopping", "stream", "supervisor", "workers"),
        )
    ),
}
"""A new name here costs every start of a pod. Is it needed before there is one?"""
LOADED_BY_A_LOG = {"zaptrace.supervisor.logs", "zaptrace.supervisor.ring"}
TOO_MUCH = {"click", "rich", "zmq", "blake3", "lz4", "msgpack", "zstandard", "asyncio", "ctypes"}
TOO_MUCH |= {"argparse", "platform", "shutil", "subprocess", "tempfile", "uuid"}
TOO_MUCH |= {"dataclasses", "inspect", "json", "logging", "pathlib", "re", "traceback", "typing"}
"""Each takes a tenth of a Python's start, or much more."""


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        yield runtime.root(path)
        end_all(Path(path))


def python(root: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "ZAPTRACE_RUNTIME_DIR": str(root), **env}
    return subprocess.run(
        [sys.executable, *argv], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def loaded(root: Path, *argv: str, **env: str) -> set[str]:
    """What zaptrace and whatever it forks import; the interpreter's own start does not count.

    Without site, which imports what whoever installed something wants of every Python.
    """
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    found = []
    for code in ("pass", "from zaptrace.cli import main; main()"):
        done = python(root, "-S", "-X", "importtime", "-c", code, *argv, **env)
        assert done.returncode == 0, done.stderr
        found.append(set(re.findall(r"^import time: .*\|\s*([\w.]+)$", done.stderr, re.M)))
    return found[1] - found[0]


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == "zaptrace"}


class TestWhatIsLoaded:
    @pytest.mark.parametrize("argv", [("--help",), ("-h",)])
    def test_by_help(self, root: Path, argv: tuple[str, ...]) -> None:
        assert ours(loaded(root, *argv)) == LOADED_BY_HELP
        assert not loaded(root, *argv) & TOO_MUCH

    def test_by_completion(self, root: Path) -> None:
        env = {"_ZAPTRACE_COMPLETE": "bash_complete", "COMP_WORDS": "zaptrace ", "COMP_CWORD": "1"}
        assert ours(loaded(root, **env)) == LOADED_BY_HELP
        env |= {"COMP_WORDS": "zaptrace stop ", "COMP_CWORD": "2"}
        modules = loaded(root, **env)
        assert ours(modules) == LOADED_BY_HELP | {
            *("zaptrace.errors", "zaptrace.limits", "zaptrace.record", "zaptrace.text"),
            *("zaptrace.supervisor", "zaptrace.supervisor.runtime", "zaptrace.supervisor.kept"),
            *("zaptrace.linux", "zaptrace.linux.private", "zaptrace.linux.records"),
        }
        assert not modules & (TOO_MUCH | {"socket"})

    @pytest.mark.parametrize(
        ("options", "more"), [((), set()), (("-d", "--name", "quick"), LOADED_BY_A_LOG)]
    )
    def test_by_run(self, root: Path, options: tuple[str, ...], more: set[str]) -> None:
        """By the command line and by the supervisor that it forks."""
        modules = loaded(root, "run", *options, "--", "true")
        assert ours(modules) <= LOADED_BY_RUN | more
        assert not modules & TOO_MUCH


class TestAnIdleSupervisor:
    @pytest.mark.parametrize("options", [["-d"], ["-d", "-t"]], ids=["log", "terminal"])
    def test_is_small_and_sleeps(self, root: Path, options: list[str]) -> None:
        """20 MiB; and no wait of it has an end of its own, so it takes no time either."""
        run = ["-m", "zaptrace", "run", "--name", "idle", *options, "--", "sleep", "60"]
        done = python(root, *run)
        assert done.returncode == 0, done.stderr
        proc = Path("/proc") / str(runtime.supervisor_pid(root / "idle"))

        def sleeps() -> bool:
            return all(
                waits_for_ever((task / "syscall").read_text()) for task in proc.glob("task/*")
            )

        eventually(sleeps, "an idle supervisor")
        assert (proc / "timers").read_text() == ""
        assert re.search(r"^TracerPid:\s0$", (proc / "status").read_text(), re.M)
        resident = re.search(r"^VmRSS:\s*(\d+) kB", (proc / "status").read_text(), re.M)
        assert resident is not None
        assert int(resident[1]) <= 20 * 1024


def waits_for_ever(call: str) -> bool:
    """Is a line of /proc/PID/syscall poll(..., -1), wait4() or a futex without a limit?"""
    number, *arguments = call.split()
    if not number.isdigit():  # running
        return False
    match int(number):
        case 7:
            return int(arguments[2], 16) & 0xFFFFFFFF == 0xFFFFFFFF
        case 61:
            return True
        case 202:
            return int(arguments[3], 16) == 0
    return False


class TestAsClickWould:
    def test_help(self, root: Path) -> None:
        with_click = "import sys; from zaptrace.cli import group; sys.exit(group.run(['--help']))"
        assert python(root, "-c", with_click).stdout == HELP + "\n"
        assert python(root, "-m", "zaptrace", "-h").stdout == HELP + "\n"
        options = group.group.get_params(click.Context(group.group))
        assert all(name in HELP for option in options for name in option.opts)

    def test_pods_come_first_where_we_say(self) -> None:
        context = click.Context(group.group)
        found = set()
        for verb in VERBS:
            command = group.group.get_command(context, verb)
            arguments = [p for p in command.params if isinstance(p, click.Argument)]
            if arguments and arguments[0].type is POD:
                found.add(verb)
        assert found == _quick.POD_FIRST

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    @pytest.mark.parametrize(
        "words", [[""], ["c"], ["nothing"], ["stop", ""], ["ps", "w"], ["ps", "other"]]
    )
    def test_completion(
        self, shell: str, words: list[str], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        from click.shell_completion import get_completion_class

        monkeypatch.setattr(runtime, "names", lambda: ["web", "other"])
        monkeypatch.setenv("COMP_WORDS", " ".join(["zaptrace", *words]))
        monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
        monkeypatch.setenv("_ZAPTRACE_COMPLETE", f"{shell}_complete")
        completer = get_completion_class(shell)
        assert completer is not None
        wanted = completer(group.group, {}, "zaptrace", "_ZAPTRACE_COMPLETE").complete()
        assert _quick.answer([]) == 0
        assert bare(shell, capsys.readouterr().out) == bare(shell, wanted)

    @pytest.mark.parametrize(
        "words", ["ru -", "run ", "ps web x", "show a", "'st", "ps a\\ b"], ids=repr
    )
    def test_completion_that_is_clicks(self, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COMP_WORDS", f"zaptrace {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
        monkeypatch.setenv("_ZAPTRACE_COMPLETE", "bash_complete")
        assert _quick.answer([]) is None

    @pytest.mark.parametrize(
        "line",
        [
            "true",
            "-- true",
            "-d -- true -d --name x",
            "--detach --json --name web true",
            "--env A=1 --env B=2=3 --env C= -- env",
            "--cwd /tmp pwd",
            "-- -- x",
            "true -- x",
            "-- -d",
            "-- ls -it",
            "-it true",
            "-d -t -i true",
            "-dit --name x true",
            "--hup --tty --interactive true",
        ],
    )
    def test_run(self, line: str) -> None:
        assert _quick.run_options(line.split()) == clicks(line.split())

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "--",
            "-d",
            "--help",
            "--nonsense true",
            "--name",
            "--name -d true",
            "--name=web true",
            "-dx true",
            "--nam web true",
            "--env A true",
            "--cwd /nowhere true",
            "--cwd /etc/passwd true",
            "--detach-keys a true",
            "-itx true",
            "- true",
            "-d- true",
        ],
    )
    def test_run_that_is_clicks(self, line: str) -> None:
        assert _quick.run_options(line.split()) is None


def bare(shell: str, text: str) -> list[str]:
    """The completions without what they do: there our words are longer."""
    lines = text.splitlines()
    if shell == "zsh":
        return lines[1::3]
    return [line.partition("\t")[0] for line in lines]


def clicks(argv: list[str]) -> dict[str, object]:
    from zaptrace.cli import _job, run

    params = run.command.make_context("run", list(argv)).params
    plain = inspect.signature(_start.launch).parameters
    job = _job.of_a_job({name: value for name, value in params.items() if name not in plain})
    return {name: value for name, value in params.items() if name in plain} | job

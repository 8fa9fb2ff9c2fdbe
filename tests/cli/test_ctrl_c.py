"""ctrl-c at a client has what it asked for given up, and says what then holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, end_all, eventually
from harness.world import TESTS
from zaptrace.supervisor import runtime


class Shell:
    """The command line, with supervisors of fake pods."""

    def __init__(self, root: Path) -> None:
        self.root = root
        path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        self.env = {**os.environ, "ZAPTRACE_RUNTIME_DIR": str(root), "PYTHONPATH": path}

    def start(self, *argv: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "harness.fake_pod", *argv]
        return subprocess.Popen(
            command,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *argv: str) -> str:
        with self.start(*argv) as child:
            said, errors = child.communicate(timeout=PATIENCE_S)
        assert child.returncode == 0, errors
        return said

    def state(self) -> list[str]:
        return [pod["state"] for pod in json.loads(self("ps", "--json"))]

    def interrupted(self, *argv: str, at: str) -> tuple[int, str]:
        """A ctrl-c once the pod is said to be `at` it; exit status and errors."""
        with self.start(*argv) as child:
            eventually(lambda: self.state() == [at])
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=PATIENCE_S)
        return child.returncode, errors


@pytest.fixture
def shell() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        yield Shell(Path(path))
        end_all(Path(path))


def test_checkpoint(shell: Shell, tmp_path: Path) -> None:
    shell("run", "-d", "--name", "web", "--", "sleep", "60")
    image = str(tmp_path / "waits")
    status, said = shell.interrupted("checkpoint", "web", "--to", image, at="checkpointing")
    assert status == 130
    assert said == (
        "zaptrace: the checkpoint of pod 'web' was cancelled\n"
        "  found    ctrl-c at the client that asked for it\n"
        "  changed  nothing; the pod is running again\n"
    )
    assert shell.state() == ["running"] and list(tmp_path.iterdir()) == []


def test_migrate(shell: Shell) -> None:
    shell("run", "-d", "--name", "web", "--", "sleep", "60")
    status, said = shell.interrupted("migrate", "web", "tcp://silent:1", at="migrating")
    assert status == 130 and "the migrate of pod 'web' was cancelled" in said
    assert shell.state() == ["running"]


def test_migrate_that_is_too_late(shell: Shell) -> None:
    """It goes on to its end, which is told as ever."""
    shell("run", "-d", "--name", "web", "--", "sleep", "60")
    status, said = shell.interrupted("migrate", "web", "tcp://insists:1", at="migrating")
    assert (status, said) == (0, "")
    assert shell.state() == []


@pytest.mark.parametrize("detach", [["-d"], []], ids=["detached", "foreground"])
def test_run(shell: Shell, detach: list[str]) -> None:
    launch = ["run", *detach, "--name", "web", "--", "sh", "-c", ":", "hangs"]
    status, said = shell.interrupted(*launch, at="starting")
    assert status == 130 and "the launch of pod 'web' was cancelled" in said
    assert "nothing is left of the pod" in said
    assert not (shell.root / "web").exists()


def test_run_whose_client_is_told_to_end(shell: Shell) -> None:
    with shell.start("run", "--name", "web", "--", "sh", "-c", ":", "hangs") as child:
        eventually(lambda: shell.state() == ["starting"])
        child.terminate()
        child.communicate(timeout=PATIENCE_S)
    assert runtime.pods(shell.root) == []


def test_a_pod_that_is_being_made_is_listed_and_ended(shell: Shell) -> None:
    with shell.start("run", "-d", "--name", "web", "--", "sh", "-c", ":", "hangs") as child:
        eventually(lambda: shell.state() == ["starting"])
        assert "starting" in shell("ps")
        assert shell("ps", "web").split() == ["VPID", "RPID", "PPID", "STATE", "THREADS", "NAME"]
        assert shell("stop", "web") == "web was ended before it was whole\n"
        _, said = child.communicate(timeout=PATIENCE_S)
        assert child.returncode == 125 and "a signal to the supervisor" in said

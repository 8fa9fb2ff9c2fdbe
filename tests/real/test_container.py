"""An ordinary user inside a stock container: run, checkpoint, go on, stop, restore, check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.hosts import Host, cli
from harness.supervisors import eventually
from harness.world import (
    PATIENCE_S,
    PROGRAMS,
    REAL,
    ROOT,
    TESTS,
    compiled,
    python,
    require_kcmp,
)

CONTAINER = TESTS / "harness" / "container.py"


def inside(host: Host, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command under the profile, with the directories of `host`."""
    env = {**os.environ, **host.env, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])}
    return subprocess.run(
        [sys.executable, str(CONTAINER), *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        cwd=host.home,
        timeout=PATIENCE_S,
    )


@pytest.fixture
def host(place: Path):
    host = Host(place, "a")
    yield host
    host.close()


def test_the_profile_denies_what_it_should(host: Host):
    """Numbers that no kernel has, and calls that look into other processes' descriptors."""
    code = (
        "import ctypes; l = ctypes.CDLL(None, use_errno=True);"
        "print([(l.syscall(n, 0, 0, 0, 0, 0), ctypes.get_errno()) for n in (0x5a415054, 312, 438)])"
    )
    assert inside(host, python(), "-c", code).stdout == f"{[(-1, 1)] * 3}\n"


def test_a_program_runs(host: Host):
    done = inside(host, *cli(), "run", "--", "sh", "-c", "echo one; exec echo two")
    assert (done.returncode, done.stdout) == (0, "one\ntwo\n"), done.stderr


@pytest.mark.parametrize("kind", ["processes", "threads", "connections"])
def test_checkpoint_and_restore(kind: str, host: Host):
    go, image = host.home / "go", host.home / "image"
    many = [compiled(REAL / "many.c"), kind, "5"]
    program = [compiled(PROGRAMS / "tcp_established.c")] if kind == "connections" else many
    command = ["env", f"ZT_GO={go}", *program]

    def zaptrace(*words: str | Path) -> str:
        done = inside(host, *cli(), *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    zaptrace("run", "-d", "--name", "web", "--", *command)
    deadline = time.monotonic() + PATIENCE_S
    while "ready" not in zaptrace("logs", "web"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    zaptrace("checkpoint", "web", "--to", f"{image}-1")
    zaptrace("checkpoint", "web", "--to", f"{image}-2", "--stop")
    zaptrace("restore", f"{image}-2", "-d")
    go.touch()
    zaptrace("logs", "web", "--follow")
    assert "PASS" in zaptrace("logs", "web")


def test_check_tells_what_a_container_denies(host: Host):
    """Both things are only slower there, so the exit status is 0."""
    done = inside(host, *cli(), "check", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    noes = {a["name"]: a for a in json.loads(done.stdout) if not a["ok"]}
    assert {"compare files", "fetch files"} <= noes.keys()
    assert not [name for name, no in noes.items() if no["needed"]]
    for no in (noes["compare files"], noes["fetch files"]):
        assert (
            "EPERM" in no["because"] and "a little longer" in no["costs"] and "seccomp" in no["do"]
        )


DENIED = {
    "personality": "libc.personality(0x0040000)",
    "set_mempolicy": "libc.syscall(238, 3, ctypes.byref(ctypes.c_ulong(1)), 64)",
}


@pytest.mark.parametrize("call", DENIED)
def test_what_a_container_denies_is_not_left_out(call: str, host: Host):
    """Asked for outside, and carried; not to be had inside, where the restore says so by name."""
    require_kcmp()  # else we are inside as well
    image = host.home / "image"
    program = (
        "import ctypes, time; libc = ctypes.CDLL(None, use_errno=True);"
        f"assert {DENIED[call]} != -1, ctypes.get_errno(); print('ready', flush=True); time.sleep(1e4)"
    )

    def outside(*words: str | Path) -> str:
        done = subprocess.run(
            [*cli(), *map(str, words)], env={**os.environ, **host.env}, cwd=host.home,
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    outside("run", "-d", "--name", "web", "--", python(), "-c", program)
    eventually(lambda: "ready" in outside("logs", "web"))
    outside("checkpoint", "web", "--to", image, "--stop")
    done = inside(host, *cli(), "restore", image, "-d")
    assert done.returncode != 0
    assert done.stderr.startswith("zaptrace: ") and call in done.stderr, done.stderr
    assert "failed with EPERM" in done.stderr
    assert f"a container's seccomp profile denies {call}" in done.stderr
    assert "web" not in outside("ps")

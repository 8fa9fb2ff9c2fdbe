"""What else a container has, or has not: a pod lives there, or one plain line says why not.

Each is made so, in namespaces of the test's own, and under the engine's profile; its first process
reaps nothing. Where the host allows no user namespaces (this container's own profile) nothing of the
kind can be made: there these are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import surroundings
from harness.world import PATIENCE_S, REAL, ROOT, TESTS, compiled
from zaptrace.linux import host

LIFE = TESTS / "harness" / "a_life.sh"


@pytest.fixture(scope="module", autouse=True)
def namespaces():
    """Where there are none the tests say so."""
    code = "import sys; from harness import surroundings as s; s.own_namespaces()"
    tried = subprocess.run(
        [sys.executable, "-c", code], env=_env(), capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"no user namespaces here: {tried.stderr.splitlines()[-1]}")


def _env(**more: str) -> dict[str, str]:
    left_out = ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "USER", "LOGNAME")
    env = {key: value for key, value in os.environ.items() if key not in left_out}
    return {**env, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)]), **more}


def inside(
    what: Sequence[str],
    *command: str | Path,
    place: Path,
    without: Sequence[str] = (),
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    full = {
        "TMPDIR": str(place),
        "ZAPTRACE_RUNTIME_DIR": str(place / "run"),
        "ZT_PYTHON": sys.executable,
        "ZT_PROGRAM": str(compiled(REAL / "many.c")),
        "ZT_WORK": str(place),
        **env,
    }
    words = [sys.executable, surroundings.__file__, *what, "--", *command]
    return subprocess.run(
        list(map(str, words)),
        env={k: v for k, v in _env(**full).items() if k not in without},
        cwd=place, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip


def zaptrace(*words: str) -> list[str]:
    return [sys.executable, "-m", "zaptrace", *words]


@pytest.mark.parametrize(
    "what",
    [
        "small /dev/shm",
        "noexec /tmp",
        "no /dev/ptmx",
        "no /proc/sys",
        "hidepid=2",
        "deny:socket:10=EAFNOSUPPORT",
        "limit:RLIMIT_NPROC=64",
    ],
)
def test_a_pod_lives(what: str, place: Path):
    done = inside([what], "sh", LIFE, place=place)
    assert done.returncode == 0 and "PASS" in done.stdout, done.stdout + done.stderr


def test_a_pod_lives_without_a_home_or_a_name(place: Path):
    """The user id has no entry in /etc/passwd: an ordinary user's in a container has none, mostly."""
    done = inside(["nobody in /etc/passwd"], "sh", LIFE, place=place, without=["HOME"])
    assert done.returncode == 0 and "PASS" in done.stdout, done.stdout + done.stderr


def test_a_read_only_root(place: Path):
    """/dev/shm is always there, and can be written to."""
    there = "/dev/shm/zt"
    life = ["sh", "-c", f"mkdir {there}; exec sh {LIFE}"]
    env = {"ZAPTRACE_RUNTIME_DIR": f"{there}/run", "ZT_WORK": there, "TMPDIR": there}
    done = inside(["read-only root"], *life, place=place, **env)
    assert done.returncode == 0 and "PASS" in done.stdout, done.stdout + done.stderr


def test_all_of_it_at_once(place: Path):
    """And no TMPDIR: nothing but the runtime directory has to be named, and check has no objections."""
    what = [*surroundings.MOUNTS, "deny:socket:10=EAFNOSUPPORT", "limit:RLIMIT_NPROC=64"]
    there = "/dev/shm/zt"
    check = f'"$ZT_PYTHON" -m zaptrace check --json >{there}/check'
    life = ["sh", "-c", f"mkdir {there}; {check} && cat {there}/check && exec sh {LIFE}"]
    env = {"ZAPTRACE_RUNTIME_DIR": f"{there}/run", "ZT_WORK": there}
    done = inside(what, *life, place=place, without=["HOME", "TMPDIR"], **env)
    assert done.returncode == 0 and "PASS" in done.stdout, done.stdout + done.stderr
    found, _ = json.JSONDecoder().raw_decode(done.stdout)
    assert {a["name"] for a in found if not a["ok"]} <= LACKING, found


LACKING = {"compare files", "fetch files", "terminals", "IPv6", "images, here", "scan pages"}
"""What check says no to there. The working directory cannot be written to."""


def test_a_move_where_no_directory_but_one_can_be_written_to(place: Path):
    env = {"ZAPTRACE_RUNTIME_DIR": "/dev/shm/run", "ZAPTRACE_CONFIG_DIR": "/dev/shm/config"}
    done = inside(
        ["read-only root", "nobody in /etc/passwd"], *zaptrace("demo"), place=place,
        without=["HOME", "TMPDIR"], **env,
    )  # fmt: skip
    assert done.returncode == 0 and "each exactly once" in done.stdout, done.stdout + done.stderr


def test_check_names_the_limit_of_processes(place: Path):
    done = inside(["limit:RLIMIT_NPROC=4"], *zaptrace("check", "--json"), place=place)
    assert done.returncode != 0
    (no,) = [a for a in json.loads(done.stdout) if a["name"] == "run a pod"]
    assert not no["ok"] and "ulimit -u" in no["do"], no


LINES = {
    "read-only root": (
        ["read-only root"],
        ["run", "--", "true"],
        "needed   a runtime directory that can be written to",
        "set ZAPTRACE_RUNTIME_DIR",
    ),
    "a home that cannot be written to": (
        ["read-only root"],
        ["keys", "show"],
        "cannot keep keys in",
        "set ZAPTRACE_CONFIG_DIR",
    ),
    "no ptrace": (
        ["deny:ptrace=EPERM"],
        ["run", "--", "true"],
        "this host does not allow tracing: ptrace(PTRACE_SEIZE): Operation not permitted",
        "do       check /proc/sys/kernel/yama/ptrace_scope (0 or 1) and the container's seccomp profile",
    ),
    "no seccomp": (
        ["deny:seccomp=EPERM"],
        ["run", "--", "true"],
        "this host does not allow tracing: seccomp: Operation not permitted",
        "the container's seccomp profile",
    ),
    "a kernel without seccomp": (
        ["deny:seccomp=ENOSYS"],
        ["run", "--", "true"],
        "this host does not allow tracing: seccomp: Function not implemented",
        "the container's seccomp profile",
    ),
    "hardly any processes": (
        ["limit:RLIMIT_NPROC=6"],
        ["run", "--", "true"],
        "",  # it depends on who comes first
        "ulimit -u",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_one_plain_line(case: str, place: Path):
    what, words, found, remedy = LINES[case]
    (place / "home").mkdir()
    done = inside(what, *zaptrace(*words), place=place, HOME=str(place / "home"))
    assert done.returncode != 0
    assert done.stderr.startswith("zaptrace: "), done.stderr
    assert found in done.stderr and remedy in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "fault in zaptrace itself" not in done.stderr


def test_no_home_for_keys(place: Path):
    done = inside(
        ["nobody in /etc/passwd"], *zaptrace("keys", "show"), place=place, without=["HOME"]
    )
    assert "no HOME, and no entry of uid" in done.stderr, done.stderr
    assert "set HOME, or ZAPTRACE_CONFIG_DIR" in done.stderr


def test_no_terminal(place: Path):
    """The user's own terminal comes from outside; the pod's would have to be made here."""
    master, slave = os.openpty()
    try:
        done = inside(
            ["no /dev/ptmx"], *zaptrace("run", "--", "true"), place=place, stdin=slave, stdout=slave
        )
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode != 0
    assert done.stderr.startswith("zaptrace: cannot "), done.stderr
    assert "/dev/ptmx" in done.stderr


def test_a_host_without_a_boot_id_is_no_other():
    """Two that hide it are not one."""
    assert host.boot_id()
    assert not host.is_this_one(replace(host.facts(), boot_id=""))

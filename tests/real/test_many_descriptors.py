"""More open files than one process may have, and hardly any: few are in the supervisor at a time."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness.world import REAL, TESTS, compiled, environment

LIMIT = 1024
PROCESSES, EACH = 64, 160
_PATIENCE_S = 300


def tell_limits() -> None:
    """What a pod's program sees of them, where a supervisor has raised its own."""
    from zaptrace.pod.pod import Pod, Stdio

    resource.setrlimit(resource.RLIMIT_NOFILE, (512, LIMIT))
    null = os.open(os.devnull, os.O_RDWR)
    stdio = Stdio(null, 1, 2, tty=False)
    with Pod.launch(["sh", "-c", "ulimit -Sn; ulimit -Hn"], name="limits", stdio=stdio) as pod:
        assert pod.wait(_PATIENCE_S) == 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (LIMIT, LIMIT)


def carry(program: str) -> None:
    """A pod of that program goes through ./image, while this process may have few open files."""
    from zaptrace.image.image import Image
    from zaptrace.image.sink import DirectorySink
    from zaptrace.pod.checkpoint import checkpoint
    from zaptrace.pod.pod import Pod, Stdio
    from zaptrace.pod.restore import restore

    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    null = os.open(os.devnull, os.O_RDWR)
    reading, writing = os.pipe()
    stdio = Stdio(null, writing, writing, tty=False)
    argv = [program, str(PROCESSES), str(EACH)]
    pod = Pod.launch(argv, name="many", env=dict(os.environ), stdio=stdio)
    assert os.read(reading, 100) == b"ready\n"
    checkpoint(pod, DirectorySink("image"), then="stop")  # which is rehearsed, beside the original
    pod.close()
    with Image.open("image") as image:
        pod = restore(image, stdio=stdio)
    Path(os.environ["ZT_GO"]).touch()
    status = pod.wait(_PATIENCE_S)
    said = os.read(reading, 1000)
    pod.close()
    assert (status, said) == (0, b"PASS\n"), (status, said)


def in_another(call: str, place: Path) -> str:
    """What such a function says in a process of its own, whose limits are lowered for good."""
    code = f"from real import test_many_descriptors as it; it.{call}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=environment(PYTHONPATH=str(TESTS), ZT_GO=str(place / "go")),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=2 * _PATIENCE_S,
    )
    return done.stdout


def test_the_limit_is_raised_for_us_and_not_for_the_pod(place: Path):
    done = in_another("tell_limits()", place)
    assert done.split() == ["512", str(LIMIT)]


@pytest.mark.slow
@pytest.mark.timeout(2 * _PATIENCE_S)
def test_ten_thousand_in_64_processes(place: Path):
    program = compiled(REAL / "descriptors.c")
    in_another(f"carry({str(program)!r})", place)


def test_very_few_are_enough_for_a_small_pod(place: Path):
    """What a careful administrator leaves to a user, or a job."""
    script = """
        ulimit -n 64
        zaptrace() { "$PYTHON" -m zaptrace "$@"; }
        zaptrace run -- true || exit
        zaptrace run -d --name few -- sleep 100 &&
        zaptrace checkpoint few --to image --stop &&
        zaptrace restore image -d
        status=$?
        zaptrace stop few
        exit $status
    """
    env = environment(PYTHON=sys.executable, ZAPTRACE_RUNTIME_DIR=str(place / "run"))
    done = subprocess.run(
        ["sh", "-c", script], cwd=place, env=env, capture_output=True, text=True, check=False,
        timeout=_PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("few\n")

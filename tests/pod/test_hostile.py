"""Whatever a pod does to us: every verb answers within its limits, and says what holds."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.supervisors import end_all, eventually
from harness.world import SEED, TESTS, compiled
from zaptrace.errors import (
    InternalError,
    TraceeGone,
    UnsupportedResource,
    WireTimeout,
    ZaptraceError,
)
from zaptrace.image.sink import DirectorySink
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.supervisor import control, runtime, starter
from zaptrace.supervisor.starter import Job

pytestmark = pytest.mark.tracer

LIMIT_S = 60.0
"""More than a freeze, a stuck program, and the work of a checkpoint of a small pod may take."""
SOURCE = TESTS / "programs" / "hostile" / "hostile.c"


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", path)
        yield runtime.root()
        end_all(Path(path))


@contextlib.contextmanager
def hostile(base: Path, what: str) -> Iterator[control.Client]:
    job = Job("launch", str(base), "bad", argv=[str(compiled(SOURCE)), what], stdio="log", cwd="/")
    with starter.start(job) as started, started.connect() as client:
        eventually(lambda: b"ready" in (base / "bad" / "log").read_bytes())
        yield client


def state(client: control.Client) -> str:
    said = client.call("status", processes=True, timeout=LIMIT_S)
    assert said["processes"]
    return said["state"]


def tried(client: control.Client, verb: str, **arguments: object) -> ZaptraceError | None:
    """What came of it; in no case a hang, a fault of ours, or a pod that does not run."""
    error = None
    try:
        client.call(verb, timeout=LIMIT_S, **arguments)
    except ZaptraceError as e:
        error = e
        assert not isinstance(e, (WireTimeout, InternalError)), e
        assert e.changed is not None, e
    assert state(client) == ("frozen" if verb == "freeze" and not error else "running"), error
    return error


def ended(client: control.Client) -> None:
    outcome = client.call("stop", grace=0.5, timeout=LIMIT_S)["outcome"]
    assert outcome["status"] in (signal.SIGTERM, signal.SIGKILL)


@pytest.mark.parametrize("what", ["loop", "trap", "kernel", "shared"])
def test_a_stub_that_is_not_ours_any_more(base: Path, tmp_path: Path, what: str) -> None:
    with hostile(base, what) as client:
        for verb, more in (
            ("checkpoint", {"to": str(tmp_path / "image")}),
            ("try", {}),
            ("checkpoint", {"to": str(tmp_path / "image"), "then": "stop"}),
        ):
            error = tried(client, verb, **more)
            assert isinstance(error, UnsupportedResource)
            assert "(" not in error.what and "is not as it was laid" in error.what
            assert error.changed == "nothing; the pod is running again"
            assert list(tmp_path.iterdir()) == []
        assert tried(client, "freeze") is None
        assert tried(client, "thaw") is None
        ended(client)


@pytest.mark.parametrize("what", ["unmapped", "spinners"])
def test_what_does_no_harm(base: Path, tmp_path: Path, what: str) -> None:
    with hostile(base, what) as client:
        assert tried(client, "freeze") is None
        assert tried(client, "thaw") is None
        assert tried(client, "checkpoint", to=str(tmp_path / "image")) is None
        assert tried(client, "try") is None
        ended(client)


@pytest.mark.parametrize("what", ["rewritten", "stopping", "killing"])
def test_what_may_hit_or_miss(base: Path, tmp_path: Path, what: str) -> None:
    with hostile(base, what) as client:
        for turn in range(6):
            image = tmp_path / f"image-{turn}"
            error = tried(client, "checkpoint", to=str(image))
            assert image.exists() == (error is None)
        assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
        if tried(client, "freeze") is None:
            assert tried(client, "thaw") is None
        ended(client)


def kill(pid: int) -> None:
    """One that may have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_members_that_are_killed_from_outside_at_any_stage(base: Path, tmp_path: Path) -> None:
    """While they are frozen, too, which nobody of the pod can do."""
    chance = random.Random(f"killed-{SEED}")
    with hostile(base, "spinners") as client:
        for turn in range(8):
            root, *others = client.call("status", processes=True, timeout=LIMIT_S)["processes"]
            victim = chance.choice(others)["rpid"] if others else root["rpid"]
            if not others:
                continue
            timer = threading.Timer(chance.uniform(0, 0.15), kill, (victim,))
            timer.start()
            image = tmp_path / f"image-{turn}"
            error = tried(client, "checkpoint", to=str(image))
            assert image.exists() == (error is None)
            timer.join()
        assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
        ended(client)


@pytest.fixture
def quiet() -> Iterator[Stdio]:
    null = os.open(os.devnull, os.O_RDWR)
    yield Stdio(null, null, null)
    os.close(null)


@pytest.mark.parametrize("turn", range(3))
def test_a_pod_that_is_killed_meanwhile(quiet: Stdio, tmp_path: Path, turn: int) -> None:
    """At moments that chance chooses: that it died is what is said, and the tracer is well."""
    chance = random.Random(f"meanwhile-{turn}-{SEED}")
    for n in range(12):
        with Pod.launch(["sleep", "1000"], name="killed", stdio=quiet) as pod:
            (process,) = pod.processes()
            at = chance.uniform(0, 0.03)
            timer = threading.Timer(at, kill, (process.rpid,))
            timer.start()
            error = None
            try:
                checkpoint(pod, DirectorySink(tmp_path / f"image-{n}"))
            except ZaptraceError as e:
                error = e
            timer.join()
            assert pod.wait(LIMIT_S) == signal.SIGKILL
            assert pod.wait_empty(LIMIT_S) and pod.failure is None
            assert error is None or isinstance(error, TraceeGone), error
            assert error is None or error.changed == "the pod has ended meanwhile, not by us"
            assert (tmp_path / f"image-{n}").exists() == (error is None)


def test_nobody_says_that_a_dead_pod_is_running(quiet: Stdio, tmp_path: Path) -> None:
    with Pod.launch(["sleep", "1000"], name="dead", stdio=quiet) as pod:
        (process,) = pod.processes()

        def kill(*_: object) -> None:
            os.kill(process.rpid, signal.SIGKILL)

        with pytest.raises(ZaptraceError) as caught:
            checkpoint(pod, DirectorySink(tmp_path / "image"), progress=kill)
        assert caught.value.changed == "the pod has ended meanwhile, not by us"
        assert list(tmp_path.iterdir()) == []

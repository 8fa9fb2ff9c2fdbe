"""The tracer and its thread: what it says when it cannot go on, who may call it, and when."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import zaptrace.pod.pod as pod_module
from harness.supervisors import PATIENCE_S, eventually
from harness.world import ROOT, compiled, require_clone3
from zaptrace.errors import PodError
from zaptrace.linux.native import lib
from zaptrace.pod.pod import Pod, Stdio

pytestmark = pytest.mark.tracer


class Watched:
    """The tracer's functions, with one that is replaced, and note of who calls what."""

    def __init__(self, **instead: Any) -> None:
        self.instead = instead
        self.calls: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        real = self.instead.get(name, getattr(lib, name))
        if not callable(real):
            return real

        def call(*args: Any) -> Any:
            self.calls.append((name, threading.current_thread().name))
            return real(*args)

        return call


@pytest.fixture
def quiet():
    """Stdio that shows nothing."""
    null = os.open(os.devnull, os.O_RDWR)
    yield Stdio(null, null, null)
    os.close(null)


def made(place: Path, name: str, text: str) -> Path:
    source = place / f"{name}.c"
    source.write_text(text)
    target = place / name
    subprocess.run(["cc", "-O1", "-pthread", "-o", target, source], check=True)
    return target


def test_an_error_of_the_loop_is_told(quiet: Stdio, monkeypatch: pytest.MonkeyPatch, caplog):
    with Pod.launch(["sleep", "1000"], name="unlucky", stdio=quiet) as pod:

        def run(handle: Any, err: Any) -> int:
            err.kind, err.text = lib.ZT_ERR_OS, b"resume: Input/output error"
            return -1

        monkeypatch.setattr(pod_module, "lib", Watched(zt_loop_run=run))
        pod.call(lambda: None)
        assert pod.wait(PATIENCE_S) == signal.SIGKILL
        assert pod.wait_empty(PATIENCE_S)
        assert pod.failure is not None
        assert "resume: Input/output error" in pod.failure.what
        assert "SIGKILL" in str(pod.failure.changed)
        assert "resume: Input/output error" in caplog.text


def test_a_fault_in_the_thread_of_the_tracer_is_told(quiet: Stdio, monkeypatch: pytest.MonkeyPatch):
    """The thread ends, and the pod with it; nobody waits for ever."""
    with Pod.launch(["sleep", "1000"], name="unlucky", stdio=quiet) as pod:
        (process,) = pod.processes()

        def run(handle: Any, err: Any) -> int:
            raise TypeError("ours")

        monkeypatch.setattr(pod_module, "lib", Watched(zt_loop_run=run))
        with contextlib.suppress(PodError):  # closed, if the thread was quicker than we
            pod.call(lambda: None)
        assert pod.wait_empty(PATIENCE_S)
        assert pod.failure is not None
        assert "TypeError: ours" in pod.failure.what
        report = Path(pod.failure.report)
        assert "Traceback" in report.read_text()
        report.unlink()
        eventually(lambda: not Path(f"/proc/{process.rpid}/exe").exists())


def from_any_thread() -> set[str]:
    """As api.h has it."""
    text = (ROOT / "csrc/api.h").read_text()
    part = text.split("/* --- from any thread */")[1].split("/* ---")[0]
    return set(re.findall(r"\b(zt_\w+)\(", part))


def test_the_pod_is_touched_by_its_own_thread(quiet: Stdio, monkeypatch: pytest.MonkeyPatch):
    watched = Watched()
    monkeypatch.setattr(pod_module, "lib", watched)
    with Pod.launch(["sleep", "1000"], name="mine", stdio=quiet) as pod:
        pod.freeze()
        assert pod.frozen
        pod.thaw()
        pod.processes()
        pod.signal(signal.SIGTERM)
        assert pod.wait(PATIENCE_S) == signal.SIGTERM
    called = {name for name, _ in watched.calls}
    assert {"zt_pod_create", "zt_loop_run", "zt_loop_frozen", "zt_pod_destroy"} <= called
    elsewhere = {name for name, thread in watched.calls if thread != "tracer of mine"}
    assert elsewhere <= from_any_thread()
    always = {"zt_loop_wake", "zt_loop_frozen", "zt_loop_cancel"}
    assert from_any_thread() == always | {"zt_loop_look", "zt_can_look"}


def test_a_request_wakes_the_tracer_at_once(quiet: Stdio, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pod_module, "_WAKE_AGAIN_S", PATIENCE_S * 2)
    watched = Watched()
    with Pod.launch(["sleep", "1000"], name="asleep", stdio=quiet) as pod:
        tid = pod.call(threading.get_native_id)
        state = Path(f"/proc/self/task/{tid}/stat")
        eventually(lambda: state.read_text().rpartition(")")[2].split()[0] == "S")
        monkeypatch.setattr(pod_module, "lib", watched)
        assert pod.call(lambda: 7) == 7
        assert [name for name, _ in watched.calls].count("zt_loop_wake") == 1
        monkeypatch.setattr(pod_module, "_WAKE_AGAIN_S", 0.001)


VFORK = """
#include <linux/sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    struct clone_args args = {.flags = CLONE_VFORK, .exit_signal = 17, .cgroup = 1};
    if (syscall(SYS_clone3, &args, sizeof args) == 0) {
        char c;
        if (read(0, &c, 1) == 1)
            _exit(0);
        _exit(1);
    }
    return 5;
}
"""


def test_a_freeze_that_gives_up_says_so(place: Path, monkeypatch: pytest.MonkeyPatch):
    """A vfork with what only the kernel can do is waited for there, and cannot be frozen before it is
    through; then the pod is as it was."""
    require_clone3()
    monkeypatch.setattr(pod_module, "FREEZE_TIMEOUT_MS", 300)
    theirs, ours = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    program = made(place, "between", VFORK)
    with Pod.launch([str(program)], name="late", stdio=Stdio(theirs, null, null)) as pod:
        eventually(lambda: len(pod.processes()) == 2)
        with pytest.raises(PodError, match="within 300 ms: it is between vfork and exec") as error:
            pod.freeze()
        assert error.value.changed == "nothing; the pod is running"
        assert not pod.frozen
        os.write(ours, b"x")
        assert pod.wait(PATIENCE_S) == 5 << 8
    for fd in (theirs, ours, null):
        os.close(fd)


LEADER_ENDS = """
#include <pthread.h>
#include <unistd.h>
static void *go_on(void *unused) { pause(); return unused; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, go_on, NULL);
    pthread_exit(NULL);
}
"""


def test_a_zombie_in_a_frozen_pod_is_a_zombie(place: Path, quiet: Stdio):
    program = made(place, "leader", LEADER_ENDS)
    with Pod.launch(["sh", "-c", f"{program} & wait"], name="dead", stdio=quiet) as pod:
        eventually(lambda: [p.state for p in pod.processes() if p.comm == "leader"] == ["Z"])
        pod.freeze()
        assert {p.comm: p.state for p in pod.processes()} == {"sh": "frozen", "leader": "Z"}
        pod.thaw()


CRASHES = 'int main(void) { return 0; }\n__asm__(".globl _start\\n_start: ud2\\n");\n'


def test_a_program_that_cannot_be_in_a_pod_is_named(place: Path, quiet: Stdio):
    """It may not be read, and ends before it shows a way in. The rest of the pod goes on."""
    source = place / "crash.c"
    source.write_text(CRASHES)
    program = place / "crash"
    subprocess.run(["cc", "-nostartfiles", "-static", "-o", program, source], check=True)
    program.chmod(0o111)
    if os.access(program, os.R_OK):
        pytest.skip("root may read any file")
    with Pod.launch(["sh", "-c", f"{program}; exit 3"], name="half", stdio=quiet) as pod:
        assert pod.wait(PATIENCE_S) == 3 << 8
        (told,) = pod.told
        assert "cannot be in a pod: its file may not be read" in told
        assert pod.failure is None
    with pytest.raises(Exception, match="cannot be in a pod: its file may not be read"):
        Pod.launch([str(program)], name="none", stdio=quiet)


def test_the_user_hears_of_it(place: Path):
    """Through the supervisor, at the end of `zaptrace run`."""
    run = place / "run"
    run.mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-m", "zaptrace", "run", "--", "sleep", "1000"],
        env={
            **os.environ,
            "ZAPTRACE_RUNTIME_DIR": str(run),
            "ZAPTRACE_FAULT": "tracer.turn:raise",
            "PYTHONPATH": str(ROOT),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGKILL
    assert "was ended, because its tracer cannot go on: fault point tracer.turn" in done.stderr
    assert "changed  every process of the pod was ended by SIGKILL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["freeze", "running"])
def test_unreadable_programs_are_carried(how: str, place: Path):
    """A living one is checkpointed and restored; its contents travel with it."""
    from zaptrace.image.image import Image
    from zaptrace.image.sink import DirectorySink
    from zaptrace.pod.checkpoint import checkpoint
    from zaptrace.pod.restore import restore

    source = ROOT / "tests/programs/threads_counting.c"
    program = place / "counts"
    program.write_bytes(compiled(source).read_bytes())
    program.chmod(0o111)
    out = place / "out"
    go = place / "go"
    null = os.open(os.devnull, os.O_RDONLY)
    with out.open("wb") as file:
        stdio = Stdio(null, file.fileno(), file.fileno())
        env = {**os.environ, "ZT_GO": str(go)}
        with Pod.launch([str(program)], name="dark", stdio=stdio, env=env) as pod:
            eventually(lambda: out.read_text() == "ready\n")
            if how == "freeze":
                pod.freeze()
            checkpoint(pod, DirectorySink(place / "image"), then="stop")
        with Image.open(str(place / "image")) as image, restore(image, stdio=stdio) as pod:
            go.touch()
            assert pod.wait(PATIENCE_S) == 0
    os.close(null)
    assert out.read_text() == "ready\nPASS\n"

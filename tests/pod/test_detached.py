"""Pods whose threads are attached only while something needs it (csrc/loop/attach.h)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, eventually
from harness.world import environment, require
from zaptrace.errors import ZaptraceError
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.linux.native import lib
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.counts import counts
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore

pytestmark = pytest.mark.tracer

# Births, signals, programs that are there and are not, from threads too; a line for each hundred rounds.
BUSY = r"""
import os, signal, subprocess, sys, threading

heard = 0
def hear(*_):
    global heard
    heard += 1
signal.signal(signal.SIGUSR1, hear)

def tracer():
    return int(open("/proc/self/status").read().split("TracerPid:")[1].split()[0])

def execs():
    for _ in range(3):
        assert subprocess.run(["/bin/sh", "-c", "exit 7"]).returncode == 7
        try:
            os.execv("/nonexistent", ["x"])
        except FileNotFoundError:
            pass

rounds = 0
while True:
    for i in range(20):
        pid = os.fork()
        if pid == 0:
            os._exit(i + os.getppid() % 1)
        assert os.waitpid(pid, 0) == (pid, i << 8)
        os.kill(os.getpid(), signal.SIGUSR1)
        rounds += 1
    threads = [threading.Thread(target=execs) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.getppid() == 1 and heard == rounds, (os.getppid(), heard, rounds)
    print(rounds, tracer(), flush=True)
    if os.read(0, 1) == b"e":
        break
"""


@pytest.fixture(autouse=True)
def when_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZAPTRACE_PTRACE", "when-needed")


class Talk:
    """What a program in a pod reads and writes."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.theirs, self.ours = os.pipe()
        self.fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.stdio = Stdio(self.theirs, self.fd, self.fd)

    def go_on(self, text: bytes = b"g") -> None:
        lines = self.out.read_text().count("\n")
        os.write(self.ours, text)
        if text != b"e":
            eventually(lambda: self.out.read_text().count("\n") > lines)

    def said(self) -> list[str]:
        return self.out.read_text().splitlines()


@pytest.fixture
def talk(place: Path) -> Iterator[Talk]:
    talk = Talk(place / "out")
    yield talk
    for fd in (talk.ours, talk.theirs, talk.fd):
        os.close(fd)


def detaches(pod: Pod) -> bool:
    return bool(pod.call(lambda: lib.zt_pod_detaches(pod.handle)))


@pytest.fixture
def tracers(can: bool) -> None:
    """What traces others inside a pod runs only where nobody is attached: else see test_looking."""
    if not can:
        pytest.skip("on this host pods are always traced: a tracer runs in none")


@pytest.fixture(scope="module")
def can() -> bool:
    """Does this host let us? If not, all is attached, and the same has to hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZAPTRACE_PTRACE", "when-needed")
        null = os.open(os.devnull, os.O_RDWR)
        with Pod.launch(["/bin/sleep", "600"], name="can", stdio=Stdio(null, null, null)) as pod:
            told = detaches(pod)
            pod.kill()
        os.close(null)
    return told


def test_nobody_is_attached_to_who_runs(talk: Talk, can: bool, place: Path):
    """Through freezes and a checkpoint; and what is made of that is attached, as its numbers differ."""
    with Pod.launch(["/usr/bin/python3", "-c", BUSY], name="busy", stdio=talk.stdio) as pod:
        eventually(lambda: len(talk.said()) == 1)
        for _ in range(5):
            os.write(talk.ours, b"g")
            pod.freeze()
            pod.thaw()
        eventually(lambda: len(talk.said()) == 6)
        talk.go_on()
        told = pod.call(counts, pod)
        assert detaches(pod) == can
        if can:
            assert not told.stops["signal"]
            assert {line.split()[1] for line in talk.said()} == {"0"}
        checkpoint(pod, DirectorySink(place / "image"), then="resume")
        talk.go_on()
        checkpoint(pod, DirectorySink(place / "image-2"), then="stop")
    with Image.open(place / "image-2") as image, restore(image, stdio=talk.stdio) as pod:
        talk.go_on()
        assert not detaches(pod)
        talk.go_on(b"e")
        assert pod.wait(PATIENCE_S) == 0


def run(talk: Talk, *argv: str) -> tuple[int | None, str]:
    with Pod.launch(list(argv), name="run", env=environment(), stdio=talk.stdio) as pod:
        ended = pod.wait(PATIENCE_S)
    return ended, talk.out.read_text()


@pytest.mark.usefixtures("tracers")
def test_strace_runs(talk: Talk):
    ended, said = run(talk, require("strace"), "-f", "/bin/sh", "-c", "/bin/true; exit 3")
    assert ended == 3 << 8
    assert said.count("execve(") >= 2 and "exited with 3" in said


@pytest.mark.usefixtures("tracers")
def test_gdb_runs(talk: Talk, place: Path):
    gdb = require("gdb")
    (place / "it.c").write_text(
        "int twice(int n) { return 2 * n; } int main(void) { return twice(4); }"
    )
    subprocess.run(["cc", "-g", "-o", place / "it", place / "it.c"], check=True)
    script = ["-ex", "break twice", "-ex", "run", "-ex", "print n", "-ex", "continue"]
    ended, said = run(talk, gdb, "-nx", "-batch", *script, str(place / "it"))
    assert ended == 0, said
    assert "$1 = 4" in said and "exited with code 010" in said


LEAKS = "#include <stdlib.h>\nint main(void) { void *volatile p = malloc(77); p = 0; return 0; }\n"


@pytest.mark.usefixtures("tracers")
def test_leak_sanitizer_runs(talk: Talk, place: Path):
    (place / "leaks.c").write_text(LEAKS)
    command = ["cc", "-fsanitize=leak", "-o", place / "leaks", place / "leaks.c"]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this compiler has no -fsanitize=leak")
    ended, said = run(talk, str(place / "leaks"))
    assert ended == 23 << 8, said
    assert "77 byte(s) leaked" in said


@pytest.mark.usefixtures("tracers")
def test_who_is_traced_by_a_relative_is_named(talk: Talk):
    argv = [require("strace"), "-o", os.devnull, "/bin/sh", "-c", "echo; read line; exit 4"]
    with Pod.launch(argv, name="traced", env=environment(), stdio=talk.stdio) as pod:
        eventually(lambda: talk.said() == [""])
        with pytest.raises(ZaptraceError, match="is traced by process"):
            pod.freeze()
        os.write(talk.ours, b"\n")
        assert pod.wait(PATIENCE_S) == 4 << 8


FILTERS = """
import ctypes, os, sys
c = ctypes.CDLL(None)
assert c.prctl(38, 1, 0, 0, 0) == 0
print(flush=True)
sys.stdin.read(1)
pid = os.fork()
if not pid:
    os._exit(5)
raise SystemExit(os.waitpid(pid, 0)[1] >> 8)
"""


def test_what_could_not_be_found_out_again_has_all_attached(talk: Talk, can: bool):
    """Such as that a program asked for no_new_privs, which it has from us as it is."""
    with Pod.launch(["/usr/bin/python3", "-c", FILTERS], name="filters", stdio=talk.stdio) as pod:
        assert detaches(pod) == can
        eventually(lambda: talk.said() == [""])
        eventually(lambda: not detaches(pod))
        pod.freeze()
        pod.thaw()
        os.write(talk.ours, b"\n")
        assert pod.wait(PATIENCE_S) == 5 << 8

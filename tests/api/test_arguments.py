"""Arguments that cannot be are told by their name, and nothing is begun; those that can are taken as the
standard library takes them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import zaptrace
from harness.supervisors import eventually
from zaptrace import aio
from zaptrace.errors import PodError
from zaptrace.supervisor import runtime

POD = zaptrace.Pod("web", "0", "/nowhere")
"""Nobody is asked before the arguments are right."""

BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: zaptrace.launch([]), ValueError, "argv: at least the program"),
    (lambda: zaptrace.launch(7), TypeError, "argv: a sequence of str is needed, not 7"),  # type: ignore[arg-type]
    (lambda: zaptrace.launch(["a", 7]), TypeError, r"argv\[1\]: a str is needed, not 7 \(int\)"),  # type: ignore[list-item]
    (lambda: zaptrace.launch(["a\0b"]), ValueError, r"argv\[0\]: .* NUL"),
    (lambda: zaptrace.launch([""]), ValueError, r"argv\[0\]"),
    (lambda: zaptrace.launch("a", cwd=3), TypeError, "cwd: a path is needed"),  # type: ignore[arg-type]
    (lambda: zaptrace.launch("a", cwd="/no/such"), NotADirectoryError, "cwd: /no/such"),
    (lambda: zaptrace.launch("a", env={"A": 1}), TypeError, r"env\['A'\]"),  # type: ignore[dict-item]
    (lambda: zaptrace.launch("a", env=["A=1"]), TypeError, "env: a mapping"),  # type: ignore[arg-type]
    (lambda: zaptrace.launch("a", env={"A=": "1"}), ValueError, "env: no program"),
    (lambda: zaptrace.launch("a", name=3), TypeError, "name: a str"),  # type: ignore[arg-type]
    (lambda: zaptrace.launch("a", name="../x"), PodError, "cannot name a pod"),
    (lambda: zaptrace.launch("a", stdio=(0, 1)), TypeError, "stdio: three files"),  # type: ignore[arg-type]
    (lambda: zaptrace.launch("a", stdio=(0, 1, "x")), TypeError, r"stdio\[2\]: a descriptor"),  # type: ignore[arg-type]
    (lambda: zaptrace.launch("a", stdio=(0, -1, 2)), ValueError, r"stdio\[1\]"),
    (lambda: zaptrace.launch("a", on_exit="x"), ValueError, "on_exit: one of 'leave', 'stop'"),  # type: ignore[arg-type]
    (lambda: zaptrace.restore(None), TypeError, "image: a path is needed"),  # type: ignore[arg-type]
    (lambda: zaptrace.restore("x", allow_changed="x"), TypeError, "allow_changed: a collection"),
    (lambda: zaptrace.restore("x", allow_changed=[4]), TypeError, r"allow_changed\[0\]"),  # type: ignore[list-item]
    (lambda: zaptrace.restore("x", ports={1: "a"}), TypeError, "ports: a mapping of int"),  # type: ignore[dict-item]
    (lambda: zaptrace.restore("x", sockets="/a"), TypeError, "sockets: a mapping"),  # type: ignore[arg-type]
    (lambda: zaptrace.restore("x", sockets={"/a": "b" * 107}), ValueError, "sockets: at most 107"),
    (lambda: zaptrace.restore("x", ports={1: 70000}), ValueError, "ports: there is no port 70000"),
    (lambda: zaptrace.connect(None), TypeError, "name: a str"),  # type: ignore[arg-type]
    (lambda: zaptrace.check(4), TypeError, "what: a path"),  # type: ignore[arg-type]
    (lambda: zaptrace.show(4), TypeError, "image: a path"),  # type: ignore[arg-type]
    (lambda: POD.signal("TERM"), TypeError, "sig: an int or a signal.Signals is needed"),  # type: ignore[arg-type]
    (lambda: POD.signal(True), TypeError, "sig"),
    (lambda: POD.signal(0), ValueError, "sig: there is no signal 0"),
    (lambda: POD.signal(99), ValueError, "sig: there is no signal 99"),
    (lambda: POD.signal(1, "2"), TypeError, "vpid: an int"),  # type: ignore[arg-type]
    (lambda: POD.signal(1, 2, group=True), ValueError, "vpid and group"),
    (lambda: POD.stop("1"), TypeError, "grace: seconds"),  # type: ignore[arg-type]
    (lambda: POD.stop(-1), ValueError, "grace: 0 to"),
    (lambda: POD.wait("1"), TypeError, "timeout: seconds"),  # type: ignore[arg-type]
    (lambda: POD.wait(float("nan")), ValueError, "timeout"),
    (lambda: POD.checkpoint(5), TypeError, "to: a path"),  # type: ignore[arg-type]
    (lambda: POD.checkpoint("x", codec="rar"), ValueError, "codec: one of 'none', 'lz4', 'zstd'"),  # type: ignore[arg-type]
    (lambda: POD.checkpoint("x", outside="x"), ValueError, "outside: one of 'refuse', 'close'"),  # type: ignore[arg-type]
    (lambda: POD.checkpoint("x", progress=1), TypeError, "progress: a function"),  # type: ignore[arg-type]
    (lambda: POD.migrate(5), TypeError, "to: tcp://HOST:PORT"),  # type: ignore[arg-type]
    (lambda: POD.migrate("tcp://h:1", key=5), TypeError, "key: a str"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_arguments_are_told_by_name(case: int, home: Path):
    call, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        call()
    assert runtime.pods(os.environ["ZAPTRACE_RUNTIME_DIR"]) == []


def test_asyncio_tells_the_same(home: Path):
    with pytest.raises(TypeError, match="cwd: a path"):
        asyncio.run(aio.launch("a", cwd=3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="progress: a function"):
        asyncio.run(aio.Pod(POD).checkpoint("x", progress=1))  # type: ignore[arg-type]


def test_paths_and_signals_are_those_of_the_standard_library(home: Path):
    code = (
        "import os, signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: print('heard'));"
        "print(os.getcwd(), os.environ, sys.argv[1:], flush=True); signal.pause()"
    )
    argv = [Path(sys.executable), b"-c", code, "", Path("x")]
    where = os.fsencode(home)
    with zaptrace.launch(argv, cwd=where, env={"A": "b"}, on_exit="stop") as pod:
        eventually(lambda: pod.logs().count("\n") == 1, "its words")
        said = pod.logs()
        assert said.startswith(f"{home} environ({{'A': 'b'") and said.endswith("['', 'x']\n")
        pod.checkpoint(os.fsencode(home / "a.zap"))
        pod.checkpoint(home / "b.zap")
        pod.checkpoint(str(home / "c.zap"))
        pod.signal(signal.SIGUSR1)
        assert pod.wait(20).returncode == 0
        assert pod.logs().endswith("heard\n")
    assert zaptrace.show(os.fsencode(home / "a.zap")).pod == pod.name

"""A pod as a Python object: what it tells, what is done to it, and how it ends."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import zaptrace
from harness.hosts import free_port
from harness.supervisors import eventually
from harness.world import ROOT
from zaptrace.errors import (
    BadImage,
    LaunchError,
    PodError,
    RestoreError,
    UnsupportedResource,
    ZaptraceError,
)

SLEEP = ["sleep", "600"]


def test_an_exit_status_is_that_of_subprocess(home: Path):
    outcome = zaptrace.launch(["sh", "-c", "exit 3"]).wait(20)
    assert (outcome.how, outcome.returncode) == ("exited", 3)
    pod = zaptrace.launch(SLEEP)
    pod.signal(signal.SIGTERM)
    assert pod.wait(20).returncode == -signal.SIGTERM
    assert pod.wait(0).returncode == -15, "of a pod that has ended at once, too"


def test_one_that_runs_on_is_a_timeout(home: Path):
    with (
        zaptrace.launch(SLEEP, name="exp", on_exit="stop") as pod,
        pytest.raises(TimeoutError) as e,
    ):
        pod.wait(0.05)
    assert "'exp'" in str(e.value)


def test_it_shows_what_it_is_at(home: Path):
    pod = zaptrace.launch(SLEEP, name="exp")
    assert repr(pod) == "<Pod 'exp' running>"
    pod.freeze()
    assert (repr(pod), pod.state) == ("<Pod 'exp' frozen>", "frozen")
    pod.thaw()
    assert pod.stop().returncode == -signal.SIGTERM
    assert pod.state == "ended"
    assert repr(pod) == "<Pod 'exp' was ended by signal 15>"


def test_its_processes_are_those_of_the_pod(home: Path):
    with zaptrace.launch(["sh", "-c", "sleep 600 & wait"], on_exit="stop") as pod:
        eventually(lambda: len(pod.processes()) == 2, "a second process")
        shell, sleep = pod.processes()
        assert isinstance(shell, zaptrace.Process)
        assert (shell.ppid, sleep.ppid, shell.threads) == (1, shell.vpid, 1)
        pod.signal(signal.SIGKILL, sleep.vpid)
        assert pod.wait(20).returncode == 0


def test_leaving_the_block_does_what_was_chosen(home: Path):
    with zaptrace.launch(SLEEP, name="stays"):
        pass
    with zaptrace.connect("stays", on_exit="stop") as pod:
        assert pod.state == "running"
    assert pod.state == "ended"
    assert zaptrace.pods() == []
    with zaptrace.launch(["true"], on_exit="stop") as pod:
        pod.wait(20)


def test_what_it_wrote_can_be_read_while_it_runs_and_after(home: Path):
    pod = zaptrace.launch(
        ["sh", "-c", "echo one; echo two >&2; read x < go; echo three"], cwd=_go(home)
    )
    eventually(lambda: pod.logs() == "one\ntwo\n", "its output")
    pieces = pod.follow()
    said = next(pieces)
    (home / "go").write_text("\n")
    assert b"".join([said, *pieces]) == b"one\ntwo\nthree\n"
    pod.wait(20)
    assert pod.logs() == "one\ntwo\nthree\n"


def test_a_later_pod_of_that_name_is_another(home: Path):
    first = zaptrace.launch(["sh", "-c", "echo first"], name="same")
    first.wait(20)
    with zaptrace.launch(SLEEP, name="same", on_exit="stop") as second:
        assert first != second
        assert (first.state, second.state) == ("ended", "running")
        with pytest.raises(PodError):
            first.signal(signal.SIGTERM)
        assert second.logs() == ""
        assert second.state == "running"


def test_a_handle_survives_pickling_and_another_process(home: Path):
    with zaptrace.launch(SLEEP, name="exp", on_exit="stop") as pod:
        again = pickle.loads(pickle.dumps(pod))
        assert again == pod and hash(again) == hash(pod) and repr(again) == repr(pod)
        there = "import sys, pickle; print(pickle.load(sys.stdin.buffer))"
        done = subprocess.run(
            [sys.executable, "-c", there], input=pickle.dumps(pod), capture_output=True, check=True
        )
        assert done.stdout.decode().strip() == "<Pod 'exp' running>"


def test_a_checkpoint_tells_how_far_it_is_and_what_it_took(home: Path):
    heard: list[zaptrace.Progress] = []
    image = home / "exp.zap"
    with zaptrace.launch([sys.executable, "-c", _BIG], name="exp") as pod:
        eventually(lambda: pod.logs() == "ready\n", "32 MiB")
        report = pod.checkpoint(image, stop=True, codec="lz4", progress=heard.append)
        assert report == zaptrace.Report(
            str(image), report.bytes, 1, 1, report.downtime_s, report.stored
        )  # fmt: skip
        assert report.stored == zaptrace.show(image).stored < report.bytes
        assert report.downtime_s > 0
        assert pod.wait(20) == zaptrace.Outcome("checkpointed", None, str(image))
    assert all(one.done <= one.total for one in heard)
    assert [one.done for one in heard] == sorted(one.done for one in heard)
    assert heard[-1].done == heard[-1].total >= 32 << 20
    assert heard[0].total >= 32 << 20, "the total is there from the beginning"
    with zaptrace.restore(image, name="again", on_exit="stop") as pod:
        assert pod.name == "again"
        assert [p.name for p in zaptrace.pods()] == ["again"]


def test_checks_and_contents(home: Path):
    assert zaptrace.check().ok
    assert {a.name for a in zaptrace.check().abilities} >= {"runtime directory"}
    image = home / "exp.zap"
    with zaptrace.launch(SLEEP, name="exp", on_exit="stop") as pod:
        assert zaptrace.check(pod) and zaptrace.check("exp")
        pod.checkpoint(image)
        (process,) = pod.processes()
    assert zaptrace.check(image)
    info = zaptrace.show(image)
    assert (info.pod, info.processes, info.threads) == ("exp", (process.vpid,), 1)
    assert info.created.tzinfo and 0 < info.stored <= info.bytes
    assert info.states["process"][0]["comm"] == "sleep"
    (image / "manifest").write_bytes(b"nothing")
    for look in (zaptrace.show, zaptrace.check, zaptrace.restore):
        with pytest.raises(BadImage):
            look(image)
    with pytest.raises(PodError, match="neither a pod nor an image"):
        zaptrace.check("nobody")


def test_a_refusal_is_told_by_a_check_and_raised_by_a_checkpoint(home: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket, time; s = socket.create_connection({server.getsockname()}); "
        argv = [sys.executable, "-c", code + "print('ready', flush=True); time.sleep(600)"]
        with zaptrace.launch(argv, on_exit="stop") as pod:
            eventually(lambda: pod.logs() == "ready\n", "a connection")
            told = zaptrace.check(pod)
            assert not told and isinstance(told.problems[0], UnsupportedResource)
            with pytest.raises(UnsupportedResource):
                pod.checkpoint(home / "no.zap")
            assert not (home / "no.zap").exists()
            assert pod.state == "running"
            assert pod.checkpoint(home / "yes.zap", outside="close").processes == 1


def test_what_cannot_be_started(home: Path):
    with pytest.raises(LaunchError) as e:
        zaptrace.launch("/no/such/program")
    assert e.value.status == 127
    with pytest.raises(PodError):
        zaptrace.connect("nobody")
    assert zaptrace.pods() == []


def test_pods_without_a_name_are_told_apart_when_they_have_ended(home: Path):
    pods = [zaptrace.launch(["sh", "-c", f"exit {n}"]) for n in range(3)]
    assert [pod.wait(20).returncode for pod in pods] == [0, 1, 2]
    first = zaptrace.launch(["sh", "-c", "exit 3"], name="same")
    first.wait(20)
    second = zaptrace.launch(["sh", "-c", "exit 4"], name="same")
    assert second.wait(20).returncode == 4
    with pytest.raises(PodError, match="not known any more"):
        first.wait(20)


def test_a_second_pod_goes_on_beside_the_first_at_another_port(home: Path):
    port, other = free_port(), free_port()
    code = (
        f"import socket; c = {port}; s = socket.create_server(('127.0.0.1', c))\n"
        "print(c, flush=True)\nwhile True: a = s.accept()[0]; a.send(b'%d' % c); a.close(); c += 1"
    )
    with zaptrace.launch([sys.executable, "-c", code], name="one", on_exit="stop") as one:
        eventually(lambda: one.logs().endswith("\n"), "its port")
        two = one.branch("two", home / "two.zap", ports={port: other})
        assert (one.state, two.state, two.name) == ("running", "running", "two")
        for at in (port, other):
            for answer in (port, port + 1):
                with socket.create_connection(("127.0.0.1", at)) as asking:
                    assert asking.recv(100) == b"%d" % answer
        two.stop()
        with pytest.raises(ZaptraceError, match=r"in use|port"):
            one.branch("three", home / "three.zap")
        assert [pod.name for pod in zaptrace.pods()] == ["one"]


def test_three_files_are_its_stdio(home: Path):
    with open(home / "out", "wb") as out, open("/dev/null", "rb") as null:
        pod = zaptrace.launch(["sh", "-c", "echo $0", "word"], stdio=(null, out, 2))
        assert pod.wait(20).returncode == 0
    assert (home / "out").read_text() == "word\n"
    with pytest.raises(PodError, match="no log"):
        pod.logs()


def test_who_has_no_terminal_cannot_attach(home: Path, monkeypatch: pytest.MonkeyPatch):
    with zaptrace.launch(SLEEP, name="exp", on_exit="stop") as pod, open("/dev/null") as null:
        monkeypatch.setattr(sys, "stdin", null)
        with pytest.raises(PodError, match="there is no terminal"):
            pod.attach()


_BIG = "x = bytearray(b'x' * (32 << 20)); print('ready', flush=True); __import__('time').sleep(600)"


def _go(home: Path) -> Path:
    os.mkfifo(home / "go")
    return home


def test_a_rollback_puts_the_pod_back(home: Path):
    pod = zaptrace.launch(
        ["sh", "-c", "n=1; while :; do echo $n; n=2; sleep 600; done"], name="exp"
    )
    eventually(lambda: pod.logs() == "1\n", "its first word")
    pod.checkpoint(home / "exp.zap")
    sleep = pod.processes()[1]
    pod.signal(signal.SIGKILL, sleep.vpid)
    eventually(lambda: "2\n" in pod.logs(), "its second word")
    back = pod.rollback(home / "exp.zap")
    assert (pod.state, back.state, back.name) == ("ended", "running", "exp")
    assert sleep.vpid in [process.vpid for process in back.processes()]
    assert not list(home.glob("*.before"))
    back.stop()


def test_a_rollback_that_fails_leaves_the_pod_as_it_was(home: Path):
    pod = zaptrace.launch(SLEEP, name="exp")
    (home / "none.zap").mkdir()
    with pytest.raises(BadImage):
        pod.rollback(home / "none.zap")
    assert pod.state == "running"
    with open(home / "data", "w") as data:
        data.write("data")
    code = f"f = open({str(home / 'data')!r}); print('ready', flush=True); __import__('time').sleep(600)"
    with zaptrace.launch([sys.executable, "-c", code], name="web") as other:
        eventually(lambda: other.logs() == "ready\n", "its file")
        other.checkpoint(home / "web.zap")
        (home / "data").unlink()
        other.stop()
    with zaptrace.launch(SLEEP, name="web") as other, pytest.raises(RestoreError) as e:
        other.rollback(home / "web.zap")
    assert e.value.changed == "the pod goes on as it was"
    with zaptrace.connect("web", on_exit="stop") as other:
        assert [process.comm for process in other.processes()] == ["sleep"]
    pod.stop()


def test_who_is_in_no_pod_is_told_so(home: Path):
    with zaptrace.launch(SLEEP, on_exit="stop"):
        assert zaptrace.current() is None


def test_a_program_can_ask_for_its_own_pod(home: Path):
    code = f"import sys; sys.path.append({str(ROOT)!r}); import zaptrace; print(zaptrace.current())"
    pod = zaptrace.launch([sys.executable, "-c", code], name="own")
    assert pod.wait(60).returncode == 0
    assert pod.logs() == "<Pod 'own' running>\n"

"""Whatever a supervisor is at, it answers, and can be told to give it up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, eventually, is_gone, pod
from zaptrace.errors import Cancelled, PodError, WireTimeout, ZaptraceError
from zaptrace.supervisor import control, runtime, starter
from zaptrace.supervisor.starter import Job

FOREVER = 3600


def is_at(base: Path, state: str) -> None:
    def at() -> bool:
        with control.Client("web", base) as client:
            return client.call("status", processes=True, timeout=PATIENCE_S)["state"] == state

    eventually(lambda: runtime.pods(base) == ["web"])
    eventually(at)


def final(client: control.Client, request: int) -> dict:
    return [*client.follow(request, PATIENCE_S)][-1]


class TestAVerb:
    """A checkpoint that waits for something, and a migration to a destination that says nothing."""

    VERBS = pytest.mark.parametrize(
        ("verb", "to", "state"),
        [
            ("checkpoint", "waits", "checkpointing"),
            ("migrate", "tcp://silent:1", "migrating"),
        ],
    )

    def begun(self, client: control.Client, base: Path, to: str, tmp_path: Path) -> int:
        if to.startswith("tcp:"):
            request = client.send("migrate", to=to)
            is_at(base, "migrating")
        else:
            request = client.send("checkpoint", to=str(tmp_path / to), then="stop")
            is_at(base, "checkpointing")
        return request

    @VERBS
    def test_cancelled_by_who_asked_for_it(
        self, base: Path, tmp_path: Path, verb: str, to: str, state: str
    ) -> None:
        with pod(base, "sleep 60") as (_, client):
            request = self.begun(client, base, to, tmp_path)
            assert client.call("cancel", what=request, by="me", timeout=PATIENCE_S)["cancelled"]
            with pytest.raises(Cancelled, match=f"the {verb} of pod 'web' was cancelled") as caught:
                final(client, request)
            assert caught.value.found == "me"
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"
            assert list(tmp_path.iterdir()) == []
            with pytest.raises(PodError, match="cannot be cancelled any more"):
                client.call("cancel", what=request, timeout=PATIENCE_S)

    def test_stop_has_its_grace_time_when_the_pod_runs_again(
        self, base: Path, tmp_path: Path
    ) -> None:
        with pod(base, "sleep 60") as (started, client), started.connect() as other:
            request = self.begun(client, base, "tcp://silent:1", tmp_path)
            reply = other.call("stop", grace=FOREVER, timeout=PATIENCE_S)
            assert reply["outcome"]["status"] == signal.SIGTERM
            with pytest.raises(Cancelled) as caught:
                final(client, request)
            assert caught.value.found == "zaptrace stop"
            assert list(tmp_path.iterdir()) == []

    @VERBS
    def test_stop_and_kill(
        self, base: Path, tmp_path: Path, verb: str, to: str, state: str
    ) -> None:
        with pod(base, "trap '' TERM; sleep 60") as (started, client), started.connect() as other:
            self.begun(client, base, to, tmp_path)
            reply = other.call("stop", kill=True, timeout=PATIENCE_S)
            assert reply["outcome"]["status"] == signal.SIGKILL
            assert list(tmp_path.iterdir()) == []

    @VERBS
    def test_thaw(self, base: Path, tmp_path: Path, verb: str, to: str, state: str) -> None:
        with pod(base, "sleep 60") as (started, client), started.connect() as other:
            request = self.begun(client, base, to, tmp_path)
            other.call("thaw", timeout=PATIENCE_S)
            assert other.call("status", timeout=PATIENCE_S)["state"] == "running"
            with pytest.raises(Cancelled):
                final(client, request)

    @VERBS
    def test_sigterm_to_the_supervisor(
        self, base: Path, tmp_path: Path, verb: str, to: str, state: str
    ) -> None:
        with pod(base, "sleep 60") as (started, client):
            self.begun(client, base, to, tmp_path)
            os.kill(started.pid, signal.SIGTERM)
            assert client.wait(PATIENCE_S).status == signal.SIGTERM
            assert list(tmp_path.iterdir()) == []

    @VERBS
    def test_the_death_of_its_client(
        self, base: Path, tmp_path: Path, verb: str, to: str, state: str
    ) -> None:
        arguments = {"to": to} if verb == "migrate" else {"to": str(tmp_path / to)}
        code = (
            "from zaptrace.supervisor.control import Client; c = Client('web');"
            f"c.call({verb!r}, **{arguments!r})"
        )
        with pod(base, "sleep 60"):
            child = subprocess.Popen([sys.executable, "-c", code])
            is_at(base, state)
            child.kill()
            child.wait()
            is_at(base, "running")
            assert list(tmp_path.iterdir()) == []

    def test_ctrl_c(self, base: Path, tmp_path: Path) -> None:
        """What then holds is told by the call that was interrupted."""
        with pod(base, "sleep 60") as (_, client):
            interrupt(lambda: is_at(base, "checkpointing"))
            with pytest.raises(Cancelled) as caught:
                client.call("checkpoint", to=str(tmp_path / "waits"), then="resume")
            assert caught.value.found.startswith("ctrl-c")
            is_at(base, "running")

    def test_after_the_point_of_no_return(self, base: Path) -> None:
        with pod(base, "sleep 60") as (started, client), started.connect() as other:
            request = client.send("migrate", to="tcp://insists:1")
            is_at(base, "migrating")
            for call in (
                lambda: other.call("stop", timeout=PATIENCE_S),
                lambda: other.call("stop", kill=True, timeout=PATIENCE_S),
                lambda: other.call("thaw", timeout=PATIENCE_S),
                lambda: client.call("cancel", what=request, timeout=PATIENCE_S),
            ):
                with pytest.raises(PodError, match="cannot be cancelled any more"):
                    call()
            assert final(client, request)["report"]["bytes"] == 99
            assert other.wait(PATIENCE_S).how == "migrated"


class TestAStop:
    def test_a_checkpoint_comes_first(self, base: Path, tmp_path: Path) -> None:
        with pod(base, "sleep 60") as (started, client), started.connect() as other:
            request = client.send("checkpoint", to=str(tmp_path / "gate"))
            is_at(base, "checkpointing")
            said = other.follow(other.send("stop"), PATIENCE_S)
            assert next(said)["progress"] == {"behind": "checkpoint"}
            (tmp_path / "gate.open").touch()
            assert final(client, request)["report"]["bytes"] == 12345
            assert [*said][-1]["outcome"]["status"] == signal.SIGTERM

    def test_given_up_behind_a_checkpoint(self, base: Path, tmp_path: Path) -> None:
        with pod(base, "sleep 60") as (started, client), started.connect() as other:
            request = client.send("checkpoint", to=str(tmp_path / "gate"))
            is_at(base, "checkpointing")
            stop = other.send("stop")
            assert other.call("cancel", what=stop, by="me", timeout=PATIENCE_S)["cancelled"]
            with pytest.raises(Cancelled) as caught:
                final(other, stop)
            assert caught.value.changed.startswith("nothing; the checkpoint goes on")
            (tmp_path / "gate.open").touch()
            assert final(client, request)["report"]["bytes"] == 12345
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"

    def test_it_says_whom_it_waits_for(self, base: Path) -> None:
        with pod(base, "trap '' TERM; echo up; exec sleep 60") as (started, client):
            eventually(lambda: b"up" in (base / "web" / "log").read_bytes())
            said = client.follow(client.send("stop", grace=FOREVER), PATIENCE_S)
            told = next(said)["progress"]
            assert [comm for _, comm in told["left"]] == ["sleep"]
            assert (told["more"], told["seconds"]) == (0, FOREVER - 1)
            with started.connect() as other:
                other.call("stop", kill=True, timeout=PATIENCE_S)
            assert [*said][-1]["outcome"]["status"] == signal.SIGKILL

    def test_its_sigkill_can_be_cancelled(self, base: Path) -> None:
        script = "trap 'echo told' TERM; echo up; while :; do sleep 0.05; done"
        with pod(base, script) as (_, client):
            eventually(lambda: b"up" in (base / "web" / "log").read_bytes())
            interrupt(lambda: eventually(lambda: b"told" in (base / "web" / "log").read_bytes()))
            with pytest.raises(Cancelled) as caught:
                client.call("stop", grace=FOREVER)
            assert "SIGKILL" in caught.value.changed
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"
            client.call("stop", kill=True, timeout=PATIENCE_S)


class TestMaking:
    """A launch that hangs."""

    def launching(self, base: Path, word: str, said: list[ZaptraceError]) -> threading.Thread:
        job = Job("launch", str(base), "web", argv=["sh", "-c", ":", word], stdio="log")

        def begin() -> None:
            try:
                starter.start(job)
            except ZaptraceError as error:
                said.append(error)

        thread = threading.Thread(target=begin)
        thread.start()
        is_at(base, "starting")
        return thread

    @pytest.mark.parametrize("how", ["stop", "kill", "discard", "sigterm"])
    def test_it_can_be_ended(self, base: Path, how: str) -> None:
        said: list[ZaptraceError] = []
        thread = self.launching(base, "hangs", said)
        with control.Client("web", base) as client:
            if how == "sigterm":
                os.kill(runtime.supervisor_pid(base / "web"), signal.SIGTERM)
            else:
                verb = "stop" if how == "kill" else how
                more = {"kill": True} if how == "kill" else {}
                reply = client.call(verb, timeout=PATIENCE_S, **more)
                assert reply["outcome"]["how"] == "discarded"
        thread.join(PATIENCE_S)
        (error,) = said
        assert isinstance(error, Cancelled) and error.exit_status == 125
        assert error.changed == "nothing is left of the pod"
        assert not (base / "web").exists()

    def test_nothing_else_can_be_asked_of_it(self, base: Path) -> None:
        thread = self.launching(base, "hangs", [])
        with control.Client("web", base) as client:
            for verb in ("freeze", "thaw", "signal", "checkpoint", "attach"):
                more = {"signal": {"signal": 15}, "checkpoint": {"to": "/x"}}.get(verb, {})
                with pytest.raises(PodError, match=f"cannot {verb} pod 'web' yet"):
                    client.call(verb, timeout=PATIENCE_S, **more)
            client.call("discard", timeout=PATIENCE_S)
        thread.join(PATIENCE_S)

    def test_the_death_of_its_starter(self, base: Path) -> None:
        code = (
            "from zaptrace.supervisor import starter; starter.PROGRAM = 'harness.fake_pod';"
            f"starter.start(starter.Job('launch', {str(base)!r}, 'web',"
            "argv=['sh', '-c', ':', 'hangs'], stdio='log'))"
        )
        child = subprocess.Popen([sys.executable, "-c", code])
        is_at(base, "starting")
        child.kill()
        child.wait()
        eventually(lambda: not (base / "web").exists())

    def test_ctrl_c(self, base: Path) -> None:
        job = Job("launch", str(base), "web", argv=["sh", "-c", ":", "hangs"], stdio="log")
        interrupt(lambda: is_at(base, "starting"))
        with pytest.raises(Cancelled, match="the launch of pod 'web' was cancelled"):
            starter.start(job)
        assert not (base / "web").exists()

    def test_one_that_cannot_be_given_up_takes_its_supervisor_with_it(
        self, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FAKE_POD_ABANDONED", "1")
        said: list[ZaptraceError] = []
        thread = self.launching(base, "deaf", said)
        with control.Client("web", base) as client:
            pid = runtime.supervisor_pid(base / "web")
            with pytest.raises(PodError):
                client.call("stop", timeout=PATIENCE_S)
        thread.join(PATIENCE_S)
        assert "died before its pod was whole" in said[0].what
        eventually(lambda: is_gone(pid))  # its files are closed first, and that is what was heard
        assert runtime.pods(base) == []


class TestClients:
    def test_a_supervisor_that_says_nothing_is_not_waited_for(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pod(base, "sleep 60") as (started, client):
            request = client.send("checkpoint", to=str(tmp_path / "waits"))
            is_at(base, "checkpointing")
            monkeypatch.setattr(control, "SILENCE_S", 1.5)
            os.kill(started.pid, signal.SIGSTOP)
            try:
                with pytest.raises(WireTimeout, match="did not answer in time") as caught:
                    [*client.follow(request, patient=False)]
                assert f"kill -KILL {started.pid}" in caught.value.do
                with pytest.raises(WireTimeout):
                    client.call("signal", signal=15)
            finally:
                os.kill(started.pid, signal.SIGCONT)

    def test_one_that_beats_is(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(control, "SILENCE_S", 1.5)
        with pod(base, "sleep 60") as (_, client):
            request = client.send("checkpoint", to=str(tmp_path / "waits"))
            with pytest.raises(WireTimeout):
                [*client.follow(request, 4.0, patient=False)]
            client.call("cancel", what=request, timeout=PATIENCE_S)


def interrupt(when: Callable[[], None]) -> None:
    """A ctrl-c for this thread, once `when` returns."""
    main = threading.main_thread().ident

    def work() -> None:
        when()
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=work).start()

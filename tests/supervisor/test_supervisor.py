"""The supervisor around a fake pod: births, ends, terminals, logs, and clients that misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, eventually, is_gone, pod
from zaptrace.errors import InternalError, PodError
from zaptrace.supervisor import control, runtime, spawner, starter
from zaptrace.supervisor.control_socket import Request
from zaptrace.supervisor.starter import Job
from zaptrace.supervisor.supervisor import Engine, Supervisor
from zaptrace.supervisor.verbs import Verbs


def goes_on(up: Path) -> str:
    """For a shell that is set up: it says so by that file, and ends by a signal only."""
    return f"touch {up}; while :; do sleep 0.05; done"


class TestEnd:
    def test_wait_gets_the_status(self, base: Path) -> None:
        with pod(base, "sleep 0.2; exit 7") as (_, client):
            outcome = client.wait(PATIENCE_S)
        assert (outcome.how, outcome.status) == ("exited", 7 << 8)

    def test_late_askers_get_it_too(self, base: Path) -> None:
        with pod(base, "exit 7") as (started, client):
            eventually(lambda: not client.alive())
            assert client.wait(PATIENCE_S).status == 7 << 8
            assert runtime.ended("web", base)["instance"] == started.instance

    def test_nothing_stays_behind(self, base: Path) -> None:
        with pod(base, "echo said; exit 0") as (started, client):
            client.wait(PATIENCE_S)
            eventually(lambda: is_gone(started.pid))
        assert {p.name for p in base.iterdir()} == {".lock", ".ended"}
        assert runtime.ended_log("web", base).read_text() == "said\n"

    @pytest.mark.parametrize("stdio", ["log", "tty"])
    def test_whoever_else_writes_to_its_output_keeps_nobody(self, base: Path, stdio: str) -> None:
        with pod(base, "exec sleep 60", stdio=stdio) as (started, client):
            (process,) = client.call("status", processes=True)["processes"]
            with (
                open(f"/proc/{process['rpid']}/fd/1", "wb") as output,
                subprocess.Popen(["yes"], stdout=output, stderr=subprocess.DEVNULL) as writer,
            ):
                client.call("stop", kill=True, timeout=PATIENCE_S)
                eventually(lambda: is_gone(started.pid))
                assert writer.wait(PATIENCE_S) != 0

    def test_nor_does_it_where_there_is_always_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Endless:
            moved = 0

            def pump(self) -> int:
                self.moved += 4096
                return 4096

            def capacity(self) -> int:
                return 1 << 20

        monkeypatch.setattr(Supervisor, "_recorded", lambda self: True)
        with contextlib.closing(socket.socket()) as lifeline:
            supervisor = Supervisor(Job("launch", "/", "web"), lifeline, Engine())
            supervisor.pod_log = log = Endless()  # type: ignore[assignment]
            supervisor.end(control.Outcome("exited"))
            assert supervisor._done
        assert 1 << 20 <= log.moved < 2 << 20

    def test_processes_may_outlive_the_root(self, base: Path, tmp_path: Path) -> None:
        over = tmp_path / "over"
        script = f"while [ ! -e {over} ]; do sleep 0.05; done & exit 3"
        with pod(base, script) as (_, client):
            outcome = client.wait(PATIENCE_S)
            assert outcome.status == 3 << 8
            assert outcome.left >= 1
            assert client.alive()
            over.touch()
            eventually(lambda: not client.alive())
        assert runtime.ended("web", base)["status"] == 3 << 8

    def test_sigterm_to_the_supervisor_ends_the_pod_cleanly(
        self, base: Path, tmp_path: Path
    ) -> None:
        up = tmp_path / "up"
        with pod(base, f"trap 'echo bye; exit 5' TERM; {goes_on(up)}") as (s, client):
            eventually(up.exists)
            os.kill(s.pid, signal.SIGTERM)
            assert client.wait(PATIENCE_S).status == 5 << 8
        assert runtime.ended_log("web", base).read_text().endswith("bye\n")

    def test_stop_kills_what_ignores_sigterm(self, base: Path, tmp_path: Path) -> None:
        up = tmp_path / "up"
        with pod(base, f"trap '' TERM; {goes_on(up)}") as (_, client):
            eventually(up.exists)
            reply = client.call("stop", grace=0.2, timeout=PATIENCE_S)
        assert reply["outcome"]["status"] == signal.SIGKILL

    def test_stop_of_a_frozen_pod(self, base: Path) -> None:
        with pod(base, "sleep 60") as (_, client):
            client.call("freeze", timeout=PATIENCE_S)
            reply = client.call("stop", timeout=PATIENCE_S)
        assert reply["outcome"]["status"] == signal.SIGTERM

    def test_a_killed_supervisor_is_noticed_and_cleaned_up(self, base: Path) -> None:
        with pod(base, "exec sleep 60") as (started, client):
            (process,) = client.call("status", processes=True)["processes"]
            os.kill(started.pid, signal.SIGKILL)
            with pytest.raises(PodError, match="supervisor of pod 'web' died"):
                client.wait(PATIENCE_S)
            os.kill(process["rpid"], signal.SIGKILL)  # a real pod's would have died with it
        assert runtime.pods(base) == []
        assert not (base / "web").exists()


def members_of(session: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(ProcessLookupError):
            if entry.isdigit() and os.getsid(int(entry)) == session:
                found.append(int(entry))
    return found


class TestStart:
    def test_the_supervisor_has_a_session_that_it_does_not_lead(self, base: Path) -> None:
        with pod(base, "sleep 60") as (started, _):
            # No leader, so no terminal that it opens becomes its own.
            assert os.getsid(started.pid) not in (os.getsid(0), started.pid)

    def test_a_taken_name(self, base: Path) -> None:
        with pod(base, "sleep 60"):
            with pytest.raises(PodError, match="name is taken"), pod(base, "true"):
                pass
            assert runtime.pods(base) == ["web"]

    def test_names_are_made_and_numbered(self, base: Path) -> None:
        with pod(base, "sleep 60", name=None) as (a, _), pod(base, "sleep 60", name=None) as (b, _):
            assert (a.name, b.name) == ("sh", "sh-2")

    def test_what_cannot_be_executed(self, base: Path) -> None:
        with pytest.raises(Exception, match="cannot run") as info, pod(base, "", argv=["no/such"]):
            pass
        assert info.value.exit_status == 127
        assert not (base / "web").exists()

    def test_a_supervisor_that_dies_early(
        self, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(starter, "PROGRAM", "no_such_module")
        with pytest.raises(PodError, match="died before"), pod(base, "true"):
            pass

    def test_who_gives_up_too_late_is_told_the_end(self, base: Path, tmp_path: Path) -> None:
        os.mkfifo(fifo := tmp_path / "fifo")
        job = Job("launch", str(base), "web", argv=["sh", "-c", f"read x <{fifo}; exit 3"])
        job.foreground = True
        with starter.start(job) as started:
            started.lifeline.shutdown(socket.SHUT_WR)
            with started.connect() as client:
                client.call("status", timeout=PATIENCE_S)  # it has seen that
            fifo.write_text("go\n")
            outcome = started.hear()
        assert outcome is not None and outcome.status == 3 << 8

    def test_one_that_waits_ends_at_once(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever it is loading; nobody wants it any more."""
        monkeypatch.setenv("FAKE_POD_LOADS", "for ever")
        waiting = starter.Waiting(None, "waiting", warm=True)
        leader = waiting._child[0]
        eventually(lambda: set(members_of(leader)) - {leader}, "the one that waits")
        waiting.close()
        eventually(lambda: all(map(is_gone, members_of(leader))), "its end")

    def test_a_pod_that_arrives_where_the_one_that_waits_was_killed(
        self, base: Path, tmp_path: Path
    ) -> None:
        """It gets another one."""
        (image := tmp_path / "web.zap").mkdir()
        (image / "fake.json").write_text(json.dumps({"name": "web", "argv": ["sleep", "60"]}))
        with contextlib.closing(spawner.Spawner(base)) as server:
            spare = server._spare
            assert spare is not None and spare.waits()
            os.killpg(spare._child[0], signal.SIGKILL)
            eventually(lambda: not spare.waits(), "its end")
            held = server.spawn(str(image), "web", lambda: False)
            assert held.client.call("status", timeout=PATIENCE_S)["name"] == "web"
            held.discard()

    def test_readers_of_inherited_output_see_its_end(self, base: Path) -> None:
        reading, writing = os.pipe()
        job = Job("launch", str(base), "web", argv=["sh", "-c", "echo a; exec >&- 2>&-; sleep 60"])
        with starter.start(job, (0, writing, writing)):
            os.close(writing)
            with open(reading, "rb") as stream:
                assert stream.read() == b"a\n"  # though the pod goes on

    def test_ignored_signals_stay_ignored_and_sigpipe_is_as_usual(self, base: Path) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with pod(base, "grep SigIgn /proc/self/status") as (_, client):
                client.wait(PATIENCE_S)
        finally:
            signal.signal(signal.SIGHUP, before)
        log = runtime.ended_log("web", base)
        eventually(log.exists)  # it is moved there after the end was told
        ignored = int(log.read_text().split()[1], 16)
        assert ignored >> (signal.SIGHUP - 1) & 1
        assert not ignored >> (signal.SIGPIPE - 1) & 1


class TestHeld:
    def held(self, base: Path, tmp_path: Path) -> starter.Held:
        with pod(base, "echo on; sleep 60") as (_, client):
            eventually(lambda: (base / "web" / "log").read_bytes())
            client.call("checkpoint", to=str(tmp_path / "image"), then="stop")
            eventually(lambda: not client.alive())
        return starter.spawn_restored(tmp_path / "image", root=base)

    def test_thaw(self, base: Path, tmp_path: Path) -> None:
        held = self.held(base, tmp_path)
        assert held.name == "web"
        with control.Client("web", base) as client:
            assert client.call("status")["state"] == "held"
            assert (base / "web" / "log").read_bytes() == b""
            held.thaw()
            assert client.call("status")["state"] == "running"
            eventually(lambda: (base / "web" / "log").read_bytes() == b"on\n")

    def test_discard(self, base: Path, tmp_path: Path) -> None:
        held = self.held(base, tmp_path)
        held.discard()
        eventually(lambda: runtime.pods(base) == [])
        held.discard()
        assert runtime.ended("web", base)["how"] == "discarded"

    def test_discarded_when_nobody_can_say_go(self, base: Path, tmp_path: Path) -> None:
        held = self.held(base, tmp_path)
        held._started.lifeline.close()
        eventually(lambda: runtime.pods(base) == [])
        held.client.close()


class TestClients:
    def test_garbage_changes_nothing(self, base: Path) -> None:
        with pod(base, "sleep 60") as (_, client):
            for frame in (b"", b"\xc1", b"\x93\1\2\3", os.urandom(500), control.pack({})):
                client.stream.put(frame)
            client.stream.put(control.pack({"verb": "no such", "id": 9}))
            client.stream.put(control.pack({"verb": "signal", "id": "x", "signal": "y"}))
            client.stream.put(control.pack({"verb": ["wait"], "id": {}}))
            client.stream.put(control.pack({"verb": "ack"}))
            client.stream.put(control.pack({"verb": "resize"}))
            with pytest.raises(PodError, match="no verb 'nonsense'"):
                client.call("nonsense", timeout=PATIENCE_S)
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"

    def test_what_is_no_frame_ends_one_connection(self, base: Path) -> None:
        with pod(base, "sleep 60") as (_, client), socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(base / "web" / "control.sock"))
            stranger.sendall(b"\xff" + bytes(8) + b"\x7f")  # as ZeroMQ greets
            stranger.settimeout(PATIENCE_S)
            said = bytearray()
            while more := stranger.recv(4096):
                said += more
            assert b"no message of zaptrace's" in said
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"

    def test_who_is_not_let_in_is_told(self, base: Path) -> None:
        with pod(base, "sleep 60") as (started, client), contextlib.ExitStack() as stack:
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"
            resource.prlimit(started.pid, resource.RLIMIT_NOFILE, (80, 80))
            for _ in range(39):
                stranger = stack.enter_context(socket.socket(socket.AF_UNIX))
                stranger.connect(str(base / "web" / "control.sock"))
            with control.Client("web", base) as late, pytest.raises(PodError, match="too many cl"):
                late.call("status", timeout=PATIENCE_S)
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"

    def test_bad_arguments_are_named(self, base: Path) -> None:
        with pod(base, "sleep 60") as (_, client):
            for arguments, found in (
                ({"signal": "y"}, "signal: 'y'"),
                ({}, "no signal"),
                ({"signal": 15, "vpid": [1]}, "vpid: [1]"),
            ):
                with pytest.raises(PodError, match="bad arguments for 'signal'") as error:
                    client.call("signal", timeout=PATIENCE_S, **arguments)
                assert error.value.found == found
                assert error.value.changed == "nothing"
            with pytest.raises(PodError, match="no signal 999"):
                client.call("signal", timeout=PATIENCE_S, signal=999)

    def test_a_fault_of_ours_is_one_line_and_a_report(self, base: Path, tmp_path: Path) -> None:
        """Also when it is a TypeError: that says nothing about the arguments."""
        with pod(base, "sleep 60") as (_, client):
            with pytest.raises(InternalError) as caught:
                client.call("checkpoint", timeout=PATIENCE_S, to=str(tmp_path / "typo"))
            error = caught.value
            assert error.what == (
                "cannot checkpoint pod 'web': a fault in zaptrace itself (TypeError: a fault of ours)"
            )
            report = Path(error.report)
            assert error.report in error.do
            assert "Traceback" in report.read_text()
            report.unlink()
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"

    def test_so_is_one_in_the_verb_itself(self) -> None:
        told: list[Exception] = []

        class Socket:
            def fail(self, request: Request, error: Exception) -> None:
                told.append(error)

        class Owner:
            job = Job("launch", "/", "web")
            control_socket = Socket()
            workers = None  # which is a fault of ours

        Verbs(Owner()).serve(Request(b"", 1, "freeze", {"verb": "freeze"}))
        (error,) = told
        assert isinstance(error, InternalError)
        assert error.what.startswith(
            "cannot freeze pod 'web': a fault in zaptrace itself (Attribute"
        )
        Path(error.report).unlink()

    def test_another_version_is_told(self, base: Path) -> None:
        with pod(base, "sleep 60") as (_, client):
            client.stream.put(control.pack({"v": 99, "verb": "status", "id": 1}))
            eventually(client.has_message)
            answer = client.receive_now()
        assert not answer["ok"] and "99" in answer["error"]["found"]

    def test_a_dead_client_changes_nothing(self, base: Path) -> None:
        with pod(base, "sleep 60") as (started, client):
            code = (
                "import sys, time; from zaptrace.supervisor.control import Client; c = Client('web');"
                "c.send('wait'); print('up', flush=True); time.sleep(60)"
            )
            child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
            with child:
                assert child.stdout is not None and child.stdout.readline() == b"up\n"
                child.kill()
            assert client.call("status", timeout=PATIENCE_S)["state"] == "running"
            os.kill(started.pid, 0)

    def test_several_at_once(self, base: Path) -> None:
        with pod(base, "sleep 60") as (started, first), started.connect() as second:
            waiting = [first.send("wait"), second.send("wait")]
            assert second.call("status", timeout=PATIENCE_S)["name"] == "web"
            first.call("stop", timeout=PATIENCE_S)
            for client, request in zip((first, second), waiting, strict=True):
                (reply,) = client.follow(request, PATIENCE_S)
                assert reply["outcome"]["status"] == signal.SIGTERM

    def test_one_exclusive_verb_at_a_time(self, base: Path, tmp_path: Path) -> None:
        with pod(base, "sleep 60") as (started, first), started.connect() as second:
            seen: list[dict] = []
            request = first.send("checkpoint", to=str(tmp_path / "slow"), then="resume")
            eventually(lambda: second.call("status")["state"] == "checkpointing")
            with pytest.raises(PodError, match="a checkpoint is under way"):
                second.call("migrate", to="tcp://nowhere:1")
            for message in first.follow(request, PATIENCE_S):
                seen.append(message)
            assert len(seen) == 11 and seen[0]["progress"]["total"] == 10
            assert second.call("status")["state"] == "running"

    def test_stop_cuts_a_verb_short(self, base: Path, tmp_path: Path) -> None:
        with pod(base, "sleep 60") as (started, first), started.connect() as second:
            first.send("checkpoint", to=str(tmp_path / "slow"), then="resume")
            eventually(lambda: second.call("status")["state"] == "checkpointing")
            outcome = second.call("stop", kill=True, timeout=PATIENCE_S)["outcome"]
            assert outcome["status"] == signal.SIGKILL

    def test_a_verb_that_never_ends_takes_the_supervisor_with_it(
        self, base: Path, tmp_path: Path
    ) -> None:
        with pod(base, "sleep 60") as (started, first), started.connect() as second:
            first.send("checkpoint", to=str(tmp_path / "endless"), then="resume")
            eventually(lambda: second.call("status")["state"] == "checkpointing")
            outcome = second.call("stop", kill=True, timeout=2 * PATIENCE_S)["outcome"]
            assert outcome["how"] == "failed" and "hung" in outcome["why"]
            eventually(lambda: is_gone(started.pid))
        assert runtime.pods(base) == []

    def test_a_pod_that_ends_under_a_verb(self, base: Path, tmp_path: Path) -> None:
        with pod(base, "sleep 0.3; exit 4") as (_, client):
            request = client.send("checkpoint", to=str(tmp_path / "slow"), then="resume")
            assert [*client.follow(request, PATIENCE_S)][-1]["ok"]
            assert client.wait(PATIENCE_S).status == 4 << 8

    def test_migrated_is_how_it_ended(self, base: Path) -> None:
        with pod(base, "sleep 60") as (started, client), started.connect() as waiting:
            request = waiting.send("wait")
            assert client.call("migrate", to="tcp://there:1")["report"]["bytes"] == 99
            (reply,) = waiting.follow(request, PATIENCE_S)
        assert (reply["outcome"]["how"], reply["outcome"]["to"]) == ("migrated", "tcp://there:1")


class TestTerminal:
    def attach(self, client: control.Client, tail: int = 1 << 20) -> int:
        return client.send("attach", rows=30, cols=100, tail=tail)

    def read(self, client: control.Client, request: int) -> tuple[bytes, dict]:
        """The whole stream, acknowledged, and the reply."""
        shown = b""
        for message in client.follow(request, PATIENCE_S):
            if "stream" in message:
                shown += message["stream"]
                client.post("ack", id=request, at=message["at"] + len(message["stream"]))
            else:
                return shown, message
        raise AssertionError

    def test_output_before_the_first_attach_is_kept(self, base: Path, tmp_path: Path) -> None:
        up = tmp_path / "up"
        script = f"tty; stty size; touch {up}"
        with pod(base, script, stdio="tty", foreground=True) as (_, client):
            eventually(up.exists)
            shown, reply = self.read(client, self.attach(client))
        assert b"/dev/pts/" in shown and b"24 80" in shown
        assert reply["outcome"]["status"] == 0

    def test_input_and_size(self, base: Path) -> None:
        with pod(base, "read x; stty size; echo got $x", stdio="tty") as (_, client):
            request = self.attach(client)
            client.post("input", data=b"hello\r")
            shown, _ = self.read(client, request)
        assert b"got hello\r\n" in shown and b"30 100" in shown

    def test_detached_it_never_blocks(self, base: Path) -> None:
        script = "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo done"
        with pod(base, script, stdio="tty") as (_, client):
            assert client.wait(PATIENCE_S).status == 0

    def test_attached_nothing_is_lost(self, base: Path) -> None:
        with pod(base, "read x; seq 400000", stdio="tty") as (_, client):
            request = self.attach(client)
            client.post("input", data=b"\r")  # it begins when we are there
            shown, _ = self.read(client, request)
        assert shown.split() == [b"%d" % n for n in range(1, 400001)]

    def test_a_stalled_client_holds_nobody_up(self, base: Path) -> None:
        with pod(base, "seq 1000000", stdio="tty") as (started, client):
            self.attach(client)  # and never acknowledges
            with started.connect() as other:
                assert other.wait(2 * PATIENCE_S).status == 0

    def test_two_viewers_and_detach(self, base: Path) -> None:
        script = "read x; echo $x-$x; read y"
        with pod(base, script, stdio="tty") as (started, a), started.connect() as b:
            first, second = self.attach(a), self.attach(b)
            eventually(lambda: a.call("status")["attached"] == 2)
            b.post("input", data=b"ab\r")
            for client, request in ((a, first), (b, second)):
                shown = b""
                for message in client.follow(request, PATIENCE_S):
                    shown += message["stream"]
                    if b"ab-ab" in shown:
                        break
            a.post("detach")
            assert [*a.follow(first, PATIENCE_S)][-1]["detached"]
            eventually(lambda: b.call("status")["attached"] == 1)
            b.post("input", data=b"\r")
            assert self.read(b, second)[1]["outcome"]["status"] == 0

    def test_a_pod_without_a_terminal(self, base: Path) -> None:
        with pod(base, "sleep 60") as (_, client), pytest.raises(PodError, match="no terminal"):
            client.call("attach", timeout=PATIENCE_S)

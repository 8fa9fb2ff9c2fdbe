"""A hand-over, broken at every point in every way: exactly one copy lives, never two.

The pods are fakes that only know whether they run; everything between them is real: the sockets,
the keys, the images, and, where somebody is killed, the processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zaptrace import migrate, wire
from zaptrace.errors import (
    BadImage,
    HostError,
    PodError,
    RestoreError,
    UnsupportedResource,
    WireError,
    ZaptraceError,
)
from zaptrace.image import Image, pack_states
from zaptrace.keys import Keys
from zaptrace.migrate import FAULT_POINTS
from zaptrace.server import Server, serve
from zaptrace.wire import Timeouts

SHORT = Timeouts(connect=5, ping=0.05, silence=5, answer=10, work=20, doubt=0.6, retry=1.2)
SOURCE_POINTS = [p for p in FAULT_POINTS if p.startswith("migrate.source.")]
DESTINATION_POINTS = [p for p in FAULT_POINTS if p.startswith("migrate.destination.")]
COMMITTED = FAULT_POINTS.index("migrate.source.committed")
PAGES = os.urandom(3 << 20)


class World:
    """Who runs. Two at a time is what must never be."""

    def __init__(self) -> None:
        self.running = {"source"}
        self.lock = threading.Lock()
        self.broken: list[str] = []

    def run(self, who: str) -> None:
        """`who` runs from now on."""
        with self.lock:
            self.running.add(who)
            if len(self.running) > 1:
                self.broken.append(f"two copies run: {self.running}")

    def stop(self, who: str) -> None:
        """`who` does not run any more."""
        with self.lock:
            self.running.discard(who)


class FakePod:
    """A pod at the source."""

    name = "web"

    def __init__(self, world: World, pages: bytes = PAGES, fail: Exception | None = None) -> None:
        self.world = world
        self.pages = pages
        self.fail = fail
        self.killed = False

    def capture(self, sink: Any) -> None:
        """As checkpoint(pod, sink, then="hold") does."""
        self.world.stop("source")
        try:
            with sink.part("pages-2") as pages, sink.part("state") as state:
                pages.write(self.pages[:-100])
                state.write(pack_states("clock", [{"offset": 7}]))
                if self.fail:
                    raise self.fail
                pages.write(self.pages[-100:])
            with sink.part("empty"):
                pass
            sink.commit({"created": 1.0, "host": {}, "pod": {"name": self.name}})
        except BaseException:
            sink.abort()
            raise

    @property
    def frozen(self) -> bool:
        """True when it does not run."""
        return "source" not in self.world.running

    def thaw(self) -> None:
        """Run on, unless it is dead."""
        assert not self.killed, "a dead pod is thawed"
        self.world.run("source")

    def kill(self) -> None:
        """End."""
        self.killed = True
        self.world.stop("source")


class FakeCopy:
    """A restored pod at the destination."""

    made = 0

    def __init__(self, world: World, image: str, name: str) -> None:
        with Image.open(image) as opened:
            assert opened.read("pages-2") == PAGES
            assert opened.states("clock") == [{"offset": 7}]
        FakeCopy.made += 1
        self.world = world
        self.who = f"{name}, copy {FakeCopy.made}"
        self.discarded = False

    def thaw(self) -> None:
        """Run."""
        assert not self.discarded
        self.world.run(self.who)

    def discard(self) -> None:
        """Go away."""
        self.discarded = True
        self.world.stop(self.who)


class Net:
    """The cable between two hosts: a TCP relay that can be cut, and mended."""

    def __init__(self, endpoint: str) -> None:
        self.target = int(endpoint.rpartition(":")[2])
        self.server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.server.getsockname()[1]}"
        self.sockets: set[socket.socket] = set()
        self.broken = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                if self.broken:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    near.close()
                    continue
                self.sockets |= {near, far}
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for s in (source, target):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def cut(self, for_good: bool = False) -> None:
        """End every connection, and with `for_good` every later one."""
        self.broken = self.broken or for_good
        for s in list(self.sockets):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut, and stop listening."""
        self.server.close()
        self.cut()
        for s in self.sockets:
            s.close()


class Hosts:
    """A source and a destination with a cable between them."""

    def __init__(self, tmp_path: Path, **server: Any) -> None:
        self.world = World()
        self.config = tmp_path / "config"
        self.staging = tmp_path / "staging"
        self.server = Server(
            "tcp://127.0.0.1:*",
            spawn=server.pop("spawn", lambda image, name: FakeCopy(self.world, image, name)),
            config=self.config,
            staging=self.staging,
            timeouts=SHORT,
            **server,
        )
        self.net = Net(self.server.endpoint)

    def send(self, pod: FakePod | None = None, **options: Any) -> migrate.Report:
        """Migrate `pod`."""
        pod = pod or FakePod(self.world)
        arguments: dict[str, Any] = {
            "capture": pod.capture,
            "facts": {"bytes": len(PAGES)},
            "config": self.config,
            "timeouts": SHORT,
        }
        return migrate.send(pod, self.net.endpoint, **(arguments | options))

    def settle(self) -> None:
        """Wait until nobody at the destination waits for anything."""
        deadline = time.monotonic() + 30
        while self.server._listener._threads and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not self.server._listener._threads

    def images(self) -> list[str]:
        """The images that are still staged."""
        return [str(p) for p in self.staging.glob("*/image")]

    def close(self) -> None:
        """End."""
        self.server.close()
        self.net.close()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Two hosts of one user, so that their keys fit."""
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.close()
    assert hosts.world.broken == []


# When all goes well


@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
def test_a_pod_moves(hosts: Hosts, codec: str | None) -> None:
    steps: list[dict[str, Any]] = []
    pod = FakePod(hosts.world)
    report = hosts.send(pod, codec=codec, progress=steps.append)
    assert pod.killed
    assert len(hosts.world.running) == 1
    assert "copy" in next(iter(hosts.world.running))
    assert report.parts == 3
    assert report.bytes >= len(PAGES)
    assert 0 < report.downtime_s <= report.total_s
    hosts.settle()
    assert hosts.images() == [], "the staged image is not needed any more"
    assert {s["step"] for s in steps} >= {"send", "restore"}
    assert steps[0]["total"] == len(PAGES)


def test_it_gets_the_name_that_was_asked_for(hosts: Hosts) -> None:
    assert hosts.send(name="web-2").name == "web-2"
    assert "web-2" in next(iter(hosts.world.running))


def test_one_after_the_other(hosts: Hosts) -> None:
    for _ in range(3):
        hosts.send()
        hosts.world.running = {"source"}


def test_several_at_a_time(hosts: Hosts) -> None:
    worlds = [World() for _ in range(4)]
    errors: list[Exception] = []

    def one(world: World, name: str) -> None:
        try:
            pod = FakePod(world)
            hosts.send(pod, name=name)
            world.run(name)
        except Exception as e:
            errors.append(e)

    hosts.world.running = set()
    hosts.server.destination._spawn = lambda image, name: FakeCopy(World(), image, name)
    threads = [
        threading.Thread(target=one, args=(world, f"web-{i}")) for i, world in enumerate(worlds)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [world.running for world in worlds] == [{f"web-{i}"} for i in range(4)]
    assert [world.broken for world in worlds] == [[]] * 4


def test_our_memory_is_bounded(hosts: Hosts) -> None:
    """More bytes than twice the windows and buffers together may take."""
    import resource

    total, bite = 256 << 20, bytes(1 << 18)

    def capture(sink: Any) -> None:
        hosts.world.stop("source")
        with sink.part("pages-2") as pages:
            for _ in range(total // len(bite)):
                pages.write(bite)
        sink.commit({"created": 1.0, "host": {}, "pod": {"name": "web"}})

    hosts.server.destination._spawn = lambda image, name: BigCopy()

    class BigCopy:
        def thaw(self) -> None:
            hosts.world.run("big")

        def discard(self) -> None:
            hosts.world.stop("big")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hosts.send(capture=capture, facts={})
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert hosts.world.running == {"big"}
    assert grown < total / 2, f"{grown >> 20} MiB, and both ends are in this process"


# When the destination does not want it


def test_reasons_are_told_before_anything_is_frozen(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def check(facts: dict[str, Any]) -> list[str]:
        seen.append(facts)
        return ["/opt/app/bin: missing", "CPU: no avx512f"]

    hosts = Hosts(tmp_path, check=check)
    try:
        with pytest.raises(RestoreError, match="cannot live on that host") as e:
            hosts.send(capture=lambda sink: pytest.fail("frozen"), facts={"cpu": ["avx512f"]})
        assert e.value.stage == "CLAIM"
        assert "/opt/app/bin: missing" in (e.value.found or "")
        assert "no avx512f" in (e.value.found or "")
        assert e.value.changed == "nothing; the pod runs on here"
        assert seen == [{"cpu": ["avx512f"], "name": "web"}]
        assert hosts.world.running == {"source"}
        assert os.listdir(hosts.staging) == []
    finally:
        hosts.close()


def test_space_is_looked_for_first(hosts: Hosts) -> None:
    with pytest.raises(RestoreError, match="cannot live") as e:
        hosts.send(facts={"bytes": 1 << 62})
    assert "are free" in (e.value.found or "")
    assert hosts.world.running == {"source"}


def test_a_restore_that_fails_there(tmp_path: Path) -> None:
    def spawn(image: str, name: str) -> Any:
        raise RestoreError("no such file: /lib/libx.so", stage="MEMORY", resource="memory", vpid=2)

    hosts = Hosts(tmp_path, spawn=spawn)
    try:
        with pytest.raises(RestoreError, match="libx") as e:
            hosts.send()
        assert (e.value.stage, e.value.vpid) == ("MEMORY", 2)
        assert e.value.changed == "nothing; the pod runs on here"
        hosts.settle()
        assert hosts.world.running == {"source"}
        assert hosts.images() == []
    finally:
        hosts.close()


def test_a_capture_that_fails_here(hosts: Hosts) -> None:
    pod = FakePod(hosts.world, fail=UnsupportedResource("fd 12 is io_uring"))
    with pytest.raises(UnsupportedResource, match="io_uring"):
        hosts.send(pod)
    hosts.settle()
    assert hosts.world.running == {"source"}
    assert os.listdir(hosts.staging) == []
    hosts.send()


def test_a_frozen_pod_stays_frozen_when_it_cannot_go(hosts: Hosts) -> None:
    hosts.world.running = set()
    pod = FakePod(hosts.world, fail=UnsupportedResource("fd 12 is io_uring"))
    with pytest.raises(UnsupportedResource) as e:
        hosts.send(pod)
    assert e.value.changed == "nothing; the pod is still frozen here"
    assert hosts.world.running == set()
    hosts.send()
    assert len(hosts.world.running) == 1, "there it runs"


def test_whoever_watches_may_give_it_up(hosts: Hosts) -> None:
    def progress(message: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hosts.send(progress=progress)
    hosts.settle()
    assert hosts.world.running == {"source"}
    assert hosts.images() == []


def test_a_kill_that_fails_leaves_the_image(hosts: Hosts) -> None:
    class Stubborn(FakePod):
        def kill(self) -> None:
            raise ZaptraceError("cannot kill it")

    with pytest.raises(ZaptraceError, match="cannot kill it") as e:
        hosts.send(Stubborn(hosts.world))
    hosts.settle()
    (image,) = hosts.images()
    assert image in (e.value.changed or "")
    assert hosts.world.running == set()


# When bytes change on the way


@pytest.mark.parametrize("damage", ["bytes", "manifest", "missing part", "renamed part", "number"])
def test_what_arrives_changed_is_refused(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    real = wire.Channel.send
    done = []

    def send(self: wire.Channel, kind: str, data: bytes = b"", **fields: Any) -> None:
        if kind == "data" and damage == "bytes" and not done:
            done.append(1)
            data = bytes([data[0] ^ 1]) + data[1:]
        if kind == "manifest" and damage == "manifest":
            fields["manifest"]["parts"]["pages-2"]["blake3"] = bytes(32)
        if kind == "part" and damage == "renamed part" and fields["name"] == "state":
            fields["name"] = "../state"
        if kind == "manifest" and damage == "missing part":
            del fields["manifest"]["parts"]["empty"]
        if kind == "end" and damage == "number":
            fields["n"] = 77
        real(self, kind, data, **fields)

    monkeypatch.setattr(wire.Channel, "send", send)
    with pytest.raises((BadImage, WireError)) as e:
        hosts.send()
    assert e.value.changed == "nothing; the pod runs on here"
    hosts.settle()
    assert hosts.world.running == {"source"}
    assert hosts.images() == []
    assert not list(hosts.staging.parent.glob("state*"))[1:]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("offer", {}),
        ("offer", {"id": "../../etc", "name": "x", "facts": {}}),
        ("offer", {"id": "0" * 32, "name": 7, "facts": {}}),
        ("offer", {"id": "0" * 32, "name": "x", "facts": []}),
        ("settle", {"id": "0" * 32}),
        ("settle", {"id": "0" * 32, "decision": "go"}),
        ("manifest", {}),
        ("nonsense", {}),
    ],
)
def test_nonsense_is_answered_with_an_error(
    hosts: Hosts, kind: str, fields: dict[str, Any]
) -> None:
    keys = Keys(hosts.config)
    with wire.connect(
        hosts.net.endpoint,
        identity=keys.identity,
        server_key=keys.identity.public,
        timeouts=SHORT,
    ) as channel:
        channel.send(kind, **fields)
        with pytest.raises(ZaptraceError):
            channel.recv("accept", "live")
    hosts.send()


# When something breaks: in one process, with a fault that strikes once or always


class Fault:
    """Takes the place of log.fault: at `point`, do `strike`."""

    def __init__(self, point: str, strike: Callable[[], None], always: bool = False) -> None:
        self.point = point
        self.strike = strike
        self.always = always
        self.struck = 0

    def __call__(self, name: str) -> None:
        assert name in FAULT_POINTS
        if name == self.point and (self.always or not self.struck):
            self.struck += 1
            self.strike()


def judge(hosts: Hosts, error: ZaptraceError | None, may_be_none: bool) -> None:
    """Exactly one copy lives; or, where documented, none, and the image is kept and named."""
    hosts.settle()
    assert hosts.world.broken == []
    running = hosts.world.running
    if not running:
        assert may_be_none
        assert error is not None
        (image,) = hosts.images()
        assert image in (error.changed or "")
        assert image in hosts.server.destination.kept()
        Image.open(image).close()
        return
    assert len(running) == 1
    if running == {"source"}:
        assert error is not None
        assert error.changed == "nothing; the pod runs on here"
    elif error is not None:
        # It runs there, but never managed to say so.
        assert may_be_none
        assert "zaptrace ps" in (error.do or "")


def attempt(hosts: Hosts) -> ZaptraceError | None:
    try:
        hosts.send()
    except ZaptraceError as e:
        return e
    return None


def fail() -> None:
    raise ZaptraceError("a fault")


@pytest.mark.parametrize("point", FAULT_POINTS)
@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
def test_a_step_that_fails(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, point: str, always: bool
) -> None:
    fault = Fault(point, fail, always)
    monkeypatch.setattr(migrate, "fault", fault)
    error = attempt(hosts)
    assert fault.struck
    # A destination that fails at each go can never be told, or never answer.
    unlucky = always and point in (
        "migrate.destination.go_heard",
        "migrate.destination.thawing",
        "migrate.destination.live",
    )
    judge(hosts, error, may_be_none=unlucky)


@pytest.mark.parametrize("point", FAULT_POINTS)
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_a_connection_that_is_cut(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, point: str, for_good: bool
) -> None:
    fault = Fault(point, lambda: hosts.net.cut(for_good))
    monkeypatch.setattr(migrate, "fault", fault)
    error = attempt(hosts)
    hosts.settle()
    assert fault.struck
    judge(hosts, error, may_be_none=for_good)


@pytest.mark.parametrize("delay", range(12))
def test_a_connection_that_is_cut_at_any_time(hosts: Hosts, delay: int) -> None:
    cutter = threading.Timer(0.02 * delay, hosts.net.cut)
    cutter.start()
    error = attempt(hosts)
    cutter.join()
    judge(hosts, error, may_be_none=False)


def test_a_source_that_falls_silent_after_whole(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs longer than the destination doubts; its go is then obeyed from the kept image."""

    def hang() -> None:
        while not hosts.server.destination.kept():
            time.sleep(0.01)

    monkeypatch.setattr(migrate, "fault", Fault("migrate.source.committed", hang))
    assert attempt(hosts) is None
    judge(hosts, None, may_be_none=False)
    assert hosts.world.running != {"source"}


def test_a_go_is_obeyed_once(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[str] = []
    real = migrate._Departure.commit

    def commit(self: migrate._Departure, channel: Any) -> None:
        real(self, channel)
        ids.append(self.id)
        for _ in range(3):
            self._settle("go")
        with pytest.raises(PodError, match="runs already"):
            self._settle("abort")

    monkeypatch.setattr(migrate._Departure, "commit", commit)
    before = FakeCopy.made
    hosts.send()
    assert FakeCopy.made == before + 1
    assert len(hosts.world.running) == 1


def test_a_server_that_is_closed_keeps_the_image(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        migrate, "fault", Fault("migrate.source.committed", lambda: hosts.server.close())
    )
    error = attempt(hosts)
    assert error is not None
    (image,) = hosts.images()
    assert image in (error.changed or "")
    assert f"zaptrace restore {image}" in (error.do or "")
    assert hosts.world.running == set()


# When somebody is killed: with processes

HELPER = Path(__file__).parent / "helpers" / "fake_host.py"


class Process:
    """fake_host.py in a process of its own."""

    def __init__(self, tmp_path: Path, *arguments: str, fault: str | None = None) -> None:
        env = {k: v for k, v in os.environ.items() if k != "ZAPTRACE_FAULT"}
        env["PYTHONPATH"] = str(Path(__file__).parent.parent)
        if fault:
            env["ZAPTRACE_FAULT"] = fault
        self.popen = subprocess.Popen(
            [sys.executable, str(HELPER), str(tmp_path), *arguments],
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )

    def line(self) -> str:
        """What it says next; empty when it is gone."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def end(self) -> int:
        """Its exit status, once it is gone."""
        status = self.popen.wait(60)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return status

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self.popen.poll() is None:
            self.popen.terminate()
        self.end()


def live(tmp_path: Path) -> list[str]:
    """The copies that run."""
    return sorted(os.listdir(tmp_path / "world"))


@pytest.fixture
def world_dir(tmp_path: Path) -> Path:
    """A directory for a world of processes, whose pod runs at the source."""
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "source").touch()
    Keys(tmp_path / "config")
    return tmp_path


@pytest.mark.parametrize("restart", [False, True], ids=["for good", "restarted"])
@pytest.mark.parametrize("point", DESTINATION_POINTS)
def test_a_destination_that_is_killed(world_dir: Path, point: str, restart: bool) -> None:
    server = Process(world_dir, "serve", "*", fault=f"{point}:kill")
    endpoint = server.line()
    source = Process(world_dir, "send", endpoint)
    assert server.end() == -signal.SIGKILL
    if restart:
        server = Process(world_dir, "serve", endpoint.rpartition(":")[2])
        assert server.line() == endpoint
    result = json.loads(source.line())
    assert source.end() == 0
    if restart:
        server.stop()
    running = live(world_dir)
    assert len(running) <= 1
    staged = [str(p) for p in (world_dir / "staging").glob("*/image")]
    if running == ["source"]:
        assert result["error"]
        assert result["changed"] == "nothing; the pod runs on here"
        # Whether it was whole, and the source took it back, nobody could tell the next server.
        assert staged == [] or not restart or point == "migrate.destination.whole_said"
    elif running:
        # It ran already, or the restarted server made it run.
        if result["error"]:
            assert "zaptrace ps" in result["do"]
    else:
        # Documented: after COMMITTED. The image is kept and named.
        assert DESTINATION_POINTS.index(point) >= DESTINATION_POINTS.index(
            "migrate.destination.whole_said"
        )
        assert staged
        assert staged[0] in result["changed"]
        Image.open(staged[0]).close()
        if restart:
            assert point == "migrate.destination.thawing", "only then it cannot know"


@pytest.mark.parametrize("point", SOURCE_POINTS)
def test_a_source_that_is_killed(world_dir: Path, point: str) -> None:
    server = Process(world_dir, "serve", "*")
    endpoint = server.line()
    source = Process(world_dir, "send", endpoint, fault=f"{point}:kill")
    assert source.end() == -signal.SIGKILL
    (world_dir / "world" / "source").unlink(missing_ok=True)  # it dies with its supervisor
    assert server.line() == "idle"
    running = live(world_dir)
    staged = [str(p) for p in (world_dir / "staging").glob("*/image")]
    if point in ("migrate.source.go_said", "migrate.source.live") and running:
        assert len(running) == 1
        assert staged == []
    elif SOURCE_POINTS.index(point) < SOURCE_POINTS.index("migrate.source.sent"):
        assert (running, staged) == ([], [])
    else:
        # It may have been whole: the image is kept, or it was not and was dropped.
        assert running == []
        if point in ("migrate.source.whole", "migrate.source.committed"):
            (image,) = staged
            Image.open(image).close()
    server.stop()


# The server


def test_one_server_for_an_address(hosts: Hosts) -> None:
    with pytest.raises(HostError, match="another host server"):
        Server(
            "tcp://127.0.0.1:*",
            spawn=lambda image, name: FakeCopy(hosts.world, image, name),
            config=hosts.config,
            staging=hosts.staging,
        )


def test_a_stranger_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    theirs = Keys(tmp_path / "other")
    with pytest.raises(WireError, match="not who we take it for"):
        hosts.send(config=theirs.directory)
    with pytest.raises(WireError, match="does not let us in") as e:
        hosts.send(config=theirs.directory, key=hosts.server.key)
    assert theirs.identity.text in (e.value.do or "")
    assert not theirs.known_hosts.exists(), "only what worked is remembered"
    Keys(hosts.config).authorize(theirs.identity.text, "ada@laptop")
    hosts.send(config=theirs.directory, key=hosts.server.key)
    hosts.world.running = {"source"}
    hosts.send(config=theirs.directory)  # the server's key is known by now
    assert hosts.server.key in theirs.known_hosts.read_text()


def test_leftovers_of_a_killed_server(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    for i, record in enumerate(["", "nonsense", '{"state": "whole"}', '{"state": 7}']):
        directory = staging / (f"{i:x}" * 32)
        (directory / "image").mkdir(parents=True)
        if record:
            (directory / "record").write_text(record)
    (staging / "something else").mkdir()
    hosts = Hosts(tmp_path)
    try:
        assert os.listdir(staging) == ["something else"]
        hosts.send()
    finally:
        hosts.close()


def test_serve_runs_until_it_is_asked_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("ZAPTRACE_CONFIG_DIR", str(tmp_path / "config"))
    world, before = World(), signal.getsignal(signal.SIGTERM)
    seen: list[str] = []

    def ready(server: Server) -> None:
        pod = FakePod(world)
        migrate.send(pod, server.endpoint, capture=pod.capture, timeouts=SHORT)
        seen.extend([server.endpoint, server.key])
        os.kill(os.getpid(), signal.SIGTERM)

    serve("tcp://127.0.0.1:0", spawn=lambda image, name: FakeCopy(world, image, name), ready=ready)
    assert seen[1] == Keys(tmp_path / "config").identity.text
    assert not seen[0].endswith((":0", ":*"))
    assert len(world.running) == 1
    assert world.broken == []
    assert signal.getsignal(signal.SIGTERM) == before
    assert (tmp_path / "run" / ".staged").is_dir()


def test_a_pod_of_many_small_parts(hosts: Hosts) -> None:
    class Small:
        def __init__(self, image: str) -> None:
            with Image.open(image) as opened:
                assert len(opened.parts) == 1000
                assert opened.read("pages-7") == b"7"

        def thaw(self) -> None:
            hosts.world.run("small")

        def discard(self) -> None:
            hosts.world.stop("small")

    def capture(sink: Any) -> None:
        hosts.world.stop("source")
        for i in range(1000):
            with sink.part(f"pages-{i}") as part:
                part.write(str(i).encode())
        sink.commit({"created": 1.0, "host": {}, "pod": {"name": "web"}})

    hosts.server.destination._spawn = lambda image, name: Small(image)
    assert hosts.send(capture=capture).parts == 1000
    assert hosts.world.running == {"small"}

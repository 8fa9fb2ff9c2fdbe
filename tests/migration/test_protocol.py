"""A pod moves; or it is not wanted, cannot be captured, arrives changed, and stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.hand_over import PAGES, SHORT, FakeCopy, FakePod, Hosts, World
from zaptrace.errors import BadImage, RestoreError, UnsupportedResource, WireError, ZaptraceError
from zaptrace.image.image import Image
from zaptrace.network import wire
from zaptrace.network.keys import Keys


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
    hosts.finish()
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
    hosts.server.destination._spawn = lambda image, name, _: FakeCopy(World(), image, name)
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

    hosts.server.destination._spawn = lambda image, name, _: BigCopy()

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
    def spawn(image: str, name: str, gives_up: Any) -> Any:
        raise RestoreError("no such file: /lib/libx.so", stage="MEMORY", resource="memory", vpid=2)

    hosts = Hosts(tmp_path, spawn=spawn)
    try:
        with pytest.raises(RestoreError, match="libx") as e:
            hosts.send()
        assert (e.value.stage, e.value.vpid) == ("MEMORY", 2)
        assert e.value.changed == "nothing; the pod runs on here"
        hosts.finish()
        assert hosts.world.running == {"source"}
        assert hosts.images() == []
    finally:
        hosts.close()


def test_a_capture_that_fails_here(hosts: Hosts) -> None:
    pod = FakePod(hosts.world, fail=UnsupportedResource("fd 12 is io_uring"))
    with pytest.raises(UnsupportedResource, match="io_uring"):
        hosts.send(pod)
    hosts.finish()
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
    hosts.finish()
    assert hosts.world.running == {"source"}
    assert hosts.images() == []


def test_a_kill_that_fails_leaves_the_image(hosts: Hosts) -> None:
    class Stubborn(FakePod):
        def kill(self) -> None:
            raise ZaptraceError("cannot kill it")

    with pytest.raises(ZaptraceError, match="cannot kill it") as e:
        hosts.send(Stubborn(hosts.world))
    hosts.finish()
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
    hosts.finish()
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
        ("resolve", {"id": "0" * 32}),
        ("resolve", {"id": "0" * 32, "decision": "go"}),
        ("manifest", {}),
        ("nonsense", {}),
    ],
)
def test_nonsense_is_answered_with_an_error(
    hosts: Hosts, kind: str, fields: dict[str, Any]
) -> None:
    keys = Keys(hosts.config)
    with wire.connect(
        hosts.relay.endpoint,
        identity=keys.identity,
        server_key=keys.identity.public,
        timeouts=SHORT,
    ) as channel:
        channel.send(kind, **fields)
        with pytest.raises(ZaptraceError):
            channel.recv("accept", "live")
    hosts.send()


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

    hosts.server.destination._spawn = lambda image, name, _: Small(image)
    assert hosts.send(capture=capture).parts == 1000
    assert hosts.world.running == {"small"}

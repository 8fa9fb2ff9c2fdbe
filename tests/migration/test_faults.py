"""A hand-over, broken at every point in every way: exactly one copy lives, never two."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.hand_over import FakeCopy, Hosts
from harness.hand_over_processes import Process, live, make_world, staged
from zaptrace.errors import PodError, ZaptraceError
from zaptrace.image.image import Image
from zaptrace.migration import destination, source

SOURCE_POINTS = source.FAULT_POINTS
DESTINATION_POINTS = destination.FAULT_POINTS
FAULT_POINTS = SOURCE_POINTS + DESTINATION_POINTS


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Two hosts of one user, so that their keys fit."""
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.close()
    assert hosts.world.broken == []


# When something breaks: in one process, with a fault that strikes once or always


class Fault:
    """Takes the place of log.fault: at `point`, do `strike`."""

    def __init__(self, point: str, strike: Callable[[], None], always: bool = False) -> None:
        self.point = point
        self.strike = strike
        self.always = always
        self.struck = 0

    def put_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For the rest of the test."""
        for half in (source, destination):
            monkeypatch.setattr(half, "fault", self)

    def __call__(self, name: str) -> None:
        assert name in FAULT_POINTS
        if name == self.point and (self.always or not self.struck):
            self.struck += 1
            self.strike()


def judge(hosts: Hosts, error: ZaptraceError | None, may_be_none: bool) -> None:
    """Exactly one copy lives; or, where documented, none, and the image is kept and named."""
    hosts.finish()
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
    fault.put_in(monkeypatch)
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
    fault = Fault(point, lambda: hosts.relay.cut(for_good))
    fault.put_in(monkeypatch)
    error = attempt(hosts)
    hosts.finish()
    assert fault.struck
    judge(hosts, error, may_be_none=for_good)


@pytest.mark.parametrize("delay", range(12))
def test_a_connection_that_is_cut_at_any_time(hosts: Hosts, delay: int) -> None:
    cutter = threading.Timer(0.02 * delay, hosts.relay.cut)
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

    Fault("migrate.source.committed", hang).put_in(monkeypatch)
    assert attempt(hosts) is None
    judge(hosts, None, may_be_none=False)
    assert hosts.world.running != {"source"}


def test_a_go_is_obeyed_once(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[str] = []
    real = source._Departure.commit

    def commit(self: source._Departure, channel: Any) -> None:
        real(self, channel)
        ids.append(self.id)
        for _ in range(3):
            self._resolve("go")
        with pytest.raises(PodError, match="runs already"):
            self._resolve("abort")

    monkeypatch.setattr(source._Departure, "commit", commit)
    before = FakeCopy.made
    hosts.send()
    assert FakeCopy.made == before + 1
    assert len(hosts.world.running) == 1


def test_a_server_that_is_closed_keeps_the_image(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fault("migrate.source.committed", hosts.server.close).put_in(monkeypatch)
    error = attempt(hosts)
    assert error is not None
    (image,) = hosts.images()
    assert image in (error.changed or "")
    assert f"zaptrace restore {image}" in (error.do or "")
    assert hosts.world.running == set()


# When somebody is killed: with processes


@pytest.fixture
def world_dir(tmp_path: Path) -> Path:
    """A world of processes."""
    return make_world(tmp_path)


@pytest.mark.parametrize("restart", [False, True], ids=["for good", "restarted"])
@pytest.mark.parametrize("point", DESTINATION_POINTS)
def test_a_destination_that_is_killed(world_dir: Path, point: str, restart: bool) -> None:
    server = Process(world_dir, "serve", "*", ZAPTRACE_FAULT=f"{point}:kill")
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
    images = staged(world_dir)
    if running == ["source"]:
        assert result["error"]
        assert result["changed"] == "nothing; the pod runs on here"
        # Whether it was whole, and the source took it back, nobody could tell the next server.
        assert images == [] or not restart or point == "migrate.destination.whole_said"
    elif running:
        # It ran already, or the restarted server made it run.
        if result["error"]:
            assert "zaptrace ps" in result["do"]
    else:
        # Documented: after COMMITTED. The image is kept and named.
        assert DESTINATION_POINTS.index(point) >= DESTINATION_POINTS.index(
            "migrate.destination.whole_said"
        )
        assert images
        assert images[0] in result["changed"]
        Image.open(images[0]).close()
        if restart:
            assert point == "migrate.destination.thawing", "only then it cannot know"


@pytest.mark.parametrize("point", SOURCE_POINTS)
def test_a_source_that_is_killed(world_dir: Path, point: str) -> None:
    server = Process(world_dir, "serve", "*")
    endpoint = server.line()
    source = Process(world_dir, "send", endpoint, ZAPTRACE_FAULT=f"{point}:kill")
    assert source.end() == -signal.SIGKILL
    (world_dir / "world" / "source").unlink(missing_ok=True)  # it dies with its supervisor
    assert server.line() == "idle"
    running = live(world_dir)
    images = staged(world_dir)
    if point in ("migrate.source.go_said", "migrate.source.live") and running:
        assert len(running) == 1
        assert images == []
    elif SOURCE_POINTS.index(point) < SOURCE_POINTS.index("migrate.source.sent"):
        assert (running, images) == ([], [])
    else:
        # It may have been whole: the image is kept, or it was not and was dropped.
        assert running == []
        if point in ("migrate.source.whole", "migrate.source.committed"):
            (image,) = images
            Image.open(image).close()
    server.stop()

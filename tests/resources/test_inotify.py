"""The inotify room: random queues beside an instance that was left alone, hushed watches, refusals."""

from __future__ import annotations

import contextlib
import os
import random
import stat
import tempfile
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.room_world import World
from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.linux import outside
from zaptrace.resources import inotify
from zaptrace.resources.inotify import hush, instance, places, scratch
from zaptrace.resources.inotify.hush import Hush
from zaptrace.resources.inotify.look import _open

ALL = 0xFFF


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zt-inotify-") as path:
        yield Path(path)


def watch(world: World, fd: int, path: Path, mask: int = ALL) -> int:
    world.store(inotify, os.fsencode(path), mask.to_bytes(4, "little"))
    return instance.add(fd, os.fsencode(path), mask)


def held(world: World) -> int:
    fd = instance.create()
    os.set_blocking(fd, False)
    world.hold(fd)
    return fd


def hushed(world: World, fd: int) -> Hush:
    file = world.hold(fd)  # looked at anew, with its watches
    world.pod.claim(inotify.NAME, file)
    hush = Hush()
    hush.begin(world.pod)
    return hush


def told(events: list[instance.Event]) -> list[tuple[int, int, bytes, int]]:
    """Cookies by the order in which they are first seen."""
    cookies: dict[int, int] = {0: 0}
    return [(e.number, e.mask, e.name, cookies.setdefault(e.cookie, len(cookies))) for e in events]


def _happen(home: Path, chance: random.Random) -> None:
    """Something, to something, somewhere; not all can be done at any time."""
    directories = [home / name for name in ("a", "b", "a/c")]
    name = f"{chance.choice('xyz')}{'long' * chance.randrange(20)}"
    at, other = chance.choice(directories) / name, chance.choice(directories) / chance.choice("xyz")
    what = chance.randrange(8)
    with contextlib.suppress(OSError):
        if what == 0:
            at.write_text("text")
        elif what == 1:
            at.read_text()
        elif what == 2:
            at.unlink()
        elif what == 3:
            at.mkdir()
        elif what == 4:
            at.rmdir()
        elif what == 5:
            at.rename(other)
        elif what == 6:
            at.chmod(chance.choice((0o600, 0o700)))
        else:
            os.listdir(at.parent if chance.random() < 0.5 else at)


@pytest.mark.parametrize("seed", range(12))
def test_random_events_are_those_of_an_instance_that_was_left_alone(
    world: World, home: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for name in ("a", "b", "a/c"):
        (home / name).mkdir()
    (home / "f").write_text("text")
    fd, alone = held(world), instance.create()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, alone)
        for name in ("a", "b", "a/c", "f"):
            mask = ALL if chance.random() < 0.7 else chance.randrange(1, ALL)
            assert watch(world, fd, home / name, mask) == watch(world, alone, home / name, mask)
        for _ in range(chance.randrange(1, 150)):
            _happen(home, chance)
        if chance.random() < 0.5:
            (home / "f").unlink()
        world.capture(inotify)  # which changes nothing
        (state,) = world.round_trip(inotify)
        expected = told(instance.take(alone))
        assert told(state.events) == expected
        assert told(instance.take(fd)) == expected
        (home / "a" / "new").write_text("text")
        assert told(instance.take(fd)) == told(instance.take(alone))
        assert watch(world, fd, home) == watch(world, alone, home)


def test_a_half_of_a_move_comes_alone(world: World, home: Path) -> None:
    (home / "a").mkdir()
    (home / "out").mkdir()
    fd = held(world)
    number = watch(world, fd, home / "a", instance.MOVED_FROM | instance.MOVED_TO)
    (home / "a" / "x").write_text("")
    (home / "a" / "x").rename(home / "out" / "x")
    (home / "out" / "x").rename(home / "a" / "y")
    world.round_trip(inotify)
    first, second = instance.take(fd)
    assert (first.number, first.mask, first.name) == (number, instance.MOVED_FROM, b"x")
    assert (second.number, second.mask, second.name) == (number, instance.MOVED_TO, b"y")
    assert first.cookie != second.cookie


@pytest.mark.parametrize("free", [True, False])
def test_events_are_made_where_nobody_watches(
    world: World, home: Path, monkeypatch: pytest.MonkeyPatch, free: bool
) -> None:
    for name in ("a", "b"):
        (home / name).mkdir()
    homes = [str(home / name) for name in ("a", "b")[: 1 + free]]
    monkeypatch.setattr(scratch, "homes", lambda: homes)
    fd = held(world)
    watch(world, fd, home / "a")
    (home / "a" / "x").mkdir()
    if not free:
        with pytest.raises(UnsupportedResource, match="events cannot be looked at") as error:
            world.capture(inotify)
        assert error.value.found == "every directory for temporary files is watched"
        assert [e.name for e in instance.take(fd)] == [b"x"]
        return
    world.capture(inotify)
    world.round_trip(inotify)
    assert [e.name for e in instance.take(fd)] == [b"x"]
    assert os.listdir(home / "b") == []


def test_a_hushed_watch_tells_what_others_write(world: World, home: Path) -> None:
    (home / "x").write_text("text")
    fd = held(world)
    number = watch(world, fd, home)
    hush = hushed(world, fd)
    (home / "x").read_text()
    with (home / "x").open("a") as more:
        more.write("more")
    (home / "y").write_text("")
    hush.end()
    (home / "x").read_text()
    names = {instance.MODIFY: "m", instance.CLOSE_WRITE: "w", instance.CREATE: "c"}
    names |= {instance.OPEN: "o", instance.ACCESS: "a", instance.CLOSE_NOWRITE: "n"}
    events = instance.take(fd)
    assert {e.number for e in events} == {number}
    assert "".join(names[e.mask] for e in events) == "mwcwoan"


def test_a_watch_of_what_was_renamed_meanwhile_is_heard_again(world: World, home: Path) -> None:
    (home / "x").write_text("text")
    fd = held(world)
    number = watch(world, fd, home / "x", instance.OPEN)
    hush = hushed(world, fd)
    (home / "x").rename(home / "y")
    (home / "x").write_text("another")
    hush.end()
    (home / "x").read_text()
    assert instance.take(fd) == []
    (home / "y").read_text()
    assert [(e.number, e.mask) for e in instance.take(fd)] == [(number, instance.OPEN)]


@pytest.mark.parametrize("shown", [True, False])
def test_flags_that_an_older_kernel_does_not_show(
    world: World, home: Path, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    monkeypatch.setattr(places, "_shows_all", lambda: shown)
    fd = held(world)
    mask = instance.CREATE | instance.ONESHOT | instance.EXCL_UNLINK
    instance.add(fd, os.fsencode(home), instance.CREATE)
    world.store(inotify, os.fsencode(home), mask.to_bytes(4, "little"))
    (state,) = world.capture(inotify)
    assert state.watches[0].mask == (instance.CREATE if shown else mask)


def test_what_cannot_be_found_is_refused(world: World, home: Path) -> None:
    (home / "x").write_text("")
    (home / "elsewhere").mkdir()
    fd = held(world)
    watch(world, fd, home / "x")
    (home / "x").rename(home / "elsewhere" / "y")
    with pytest.raises(
        UnsupportedResource, match=r"watches a file that cannot be found \(watch 1\)"
    ):
        world.capture(inotify)


def test_a_watch_of_a_process_is_refused(world: World) -> None:
    fd = held(world)
    watch(world, fd, Path(f"/proc/{os.getpid()}/status"))
    with pytest.raises(UnsupportedResource, match="watches a process in /proc"):
        world.capture(inotify)


@pytest.mark.parametrize("instead", [True, False])
def test_what_is_not_where_it_was_is_said(world: World, home: Path, instead: bool) -> None:
    (home / "x").write_text("")
    fd = held(world)
    watch(world, fd, home / "x")
    states = world.capture(inotify)
    world.kill()
    (home / "x").unlink()
    if instead:
        (home / "x").mkdir()
    with pytest.raises(RestoreError, match=r"a watch \(inotify\) of .*/x") as error:
        world.restore(inotify, states)
    assert error.value.stage == "CLAIM"


def test_numbers_go_on_after_those_that_are_gone(world: World, home: Path) -> None:
    fd = held(world)
    for _ in range(5):
        instance.remove(fd, watch(world, fd, home))
    instance.take(fd)
    world.capture(inotify)
    (state,) = world.round_trip(inotify)
    assert (state.watches, state.events, state.next) == ([], [], 6)
    assert watch(world, fd, home) == 6


def test_a_path_that_does_not_answer_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system whose server is gone: each call on it waits, and none of ours for it."""
    answer = threading.Event()

    def dead(call):
        def wait_for_it(path, *args, **more):
            if isinstance(path, bytes) and path.startswith(b"/dead"):
                answer.wait(60)
            return call(path, *args, **more)

        return wait_for_it

    for name in ("stat", "open", "scandir"):
        monkeypatch.setattr(os, name, dead(getattr(os, name)))
    real = instance.libc.inotify_add_watch
    watch = dead(lambda path, fd, mask: real(fd, path, mask))
    libc = types.SimpleNamespace(inotify_add_watch=lambda fd, path, mask: watch(path, fd, mask))
    monkeypatch.setattr(outside, "LIMIT_S", 0.05)
    place = places.Place(b"/dead/x", None, b"/dead/x", (1, 2), stat.S_IFREG)
    state = inotify.State(
        3, 0, None, None, [inotify.Watch(1, ALL, b"/dead/x", None, stat.S_IFREG)], [], 2
    )
    try:
        with pytest.raises(RestoreError, match="/dead/x"):
            inotify._claim(state)
        assert hush._where(place) is None
        with pytest.raises(OSError, match="has not answered"):
            places._Try(b"/dead/x", b"/dead/x").place()
        with pytest.raises(OSError, match="has not answered"):
            _open(place)
        fd = instance.create()
        monkeypatch.setattr(instance, "libc", libc)
        with contextlib.closing(os.fdopen(fd, "rb")), pytest.raises(OSError, match="not answered"):
            instance.add(fd, b"/dead/x", ALL)
    finally:
        answer.set()

"""The epoll room: watches by number, spent ones, nested ones, and files that have moved."""

from __future__ import annotations

import fcntl
import os
import resource
import select

import pytest

from harness.room_world import World
from harness.world import require_kcmp
from zaptrace.errors import UnsupportedResource
from zaptrace.resources import epoll
from zaptrace.resources.epoll import target


def wait(ep: int) -> list[tuple[int, int]]:
    with select.epoll.fromfd(os.dup(ep)) as poll:
        return sorted(poll.poll(0))


@pytest.fixture
def ep() -> int:
    made = select.epoll()
    fd = os.dup(made.fileno())
    made.close()
    return fd


def add(ep: int, fd: int, events: int) -> None:
    with select.epoll.fromfd(os.dup(ep)) as poll:
        poll.register(fd, events)


def test_watches_come_back(world: World, ep: int) -> None:
    r, w = os.pipe()
    event = os.eventfd(0)
    add(ep, r, select.EPOLLIN)
    add(ep, w, select.EPOLLOUT | select.EPOLLET)
    add(ep, event, select.EPOLLIN | select.EPOLLONESHOT)
    world.hold(ep)
    for fd in (r, w, event):
        world.hold(fd)
    world.round_trip(epoll)
    assert wait(ep) == [(w, select.EPOLLOUT)]
    os.write(w, b"x")
    os.eventfd_write(event, 1)
    assert (r, select.EPOLLIN) in wait(ep)
    assert (event, select.EPOLLIN) not in wait(ep)  # it was told of once, above
    with select.epoll.fromfd(os.dup(ep)) as poll:
        poll.unregister(r)  # known under its number


@pytest.mark.parametrize("taken", [False, True])
def test_a_number_that_was_closed(world: World, ep: int, taken: bool) -> None:
    event = os.eventfd(1)
    old = fcntl.fcntl(event, fcntl.F_DUPFD_CLOEXEC, 300)
    add(ep, old, select.EPOLLIN)
    os.close(old)
    world.hold(ep)
    world.hold(event)
    if taken:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, old, inheritable=False)
        os.close(null)
        world.hold(old)
    states = world.capture(epoll)
    (watch,) = states[0].watches
    assert (watch.number, watch.file_fd, watch.taken) == (old, event, taken)
    world.kill()
    world.restore(epoll, states)
    assert wait(ep) == [(old, select.EPOLLIN)]
    if taken:
        assert not os.get_inheritable(old)
        assert os.readlink(f"/proc/self/fd/{old}") == os.devnull


def test_a_spent_oneshot_stays_spent(world: World, ep: int) -> None:
    event, other = os.eventfd(1), os.eventfd(1)
    add(ep, event, select.EPOLLIN | select.EPOLLONESHOT)
    assert wait(ep) == [(event, select.EPOLLIN)]
    add(ep, other, select.EPOLLIN | select.EPOLLONESHOT)
    for fd in (ep, event, other):
        world.hold(fd)
    before = world.round_trip(epoll)
    (after,) = world.capture(epoll)
    assert {w.data: w.events for w in after.watches} == {
        w.data: w.events for w in before[0].watches
    }
    assert wait(ep) == [(other, select.EPOLLIN)]


@pytest.fixture(params=["kcmp", "without kcmp"])
def told_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a container's profile denies kcmp(2) there is another way."""
    if request.param == "without kcmp":
        monkeypatch.setattr(target, "_SYS_KCMP", -1)
    else:
        require_kcmp()
    return request.param


@pytest.mark.usefixtures("told_by")
def test_files_of_one_kind_are_told_apart(world: World, ep: int) -> None:
    number = os.eventfd(0)
    add(ep, number, select.EPOLLIN)
    real = os.dup(number)
    other = os.eventfd(1)
    os.dup2(other, number)  # every eventfd has the same inode
    world.hold(ep)
    world.hold(number, other)
    target = world.hold(real)
    (state,) = world.capture(epoll)
    assert [(w.number, w.file_id, w.file_fd) for w in state.watches] == [(number, target.id, real)]


def test_a_watch_that_no_holder_has(world: World, ep: int) -> None:
    event = os.eventfd(1)
    add(ep, event, select.EPOLLIN)
    world.hold(ep)
    world.hold(event)
    (state,) = world.capture(epoll)
    watch = epoll.Watch(**{**vars(state.watches[0]), "vpid": 0, "epoll_fd": 0, "file_fd": 0})
    state = epoll.State(**{**vars(state), "watches": [watch]})
    world.kill()
    world.restore(epoll, [state])
    assert wait(ep) == [(event, select.EPOLLIN)]


def test_a_file_that_is_open_nowhere_is_refused(world: World, ep: int) -> None:
    event = os.eventfd(1)
    add(ep, event, select.EPOLLIN)
    world.hold(ep)
    with pytest.raises(UnsupportedResource, match="open nowhere in the pod"):
        world.capture(epoll)
    os.close(event)


def test_nested(world: World, ep: int) -> None:
    inner = select.epoll()
    event = os.eventfd(1)
    inner.register(event, select.EPOLLIN)
    add(ep, inner.fileno(), select.EPOLLIN)
    for fd in (ep, inner.fileno(), event):
        world.hold(fd)
    world.round_trip(epoll)
    assert wait(ep) == [(inner.fileno(), select.EPOLLIN)]


@pytest.mark.usefixtures("told_by")
def test_to_find_the_file_changes_nothing(world: World, ep: int) -> None:
    """The other that looks alike is ready, and was never watched."""
    ready, spent, watched = os.eventfd(1), os.eventfd(1), os.eventfd(0)
    number = fcntl.fcntl(watched, fcntl.F_DUPFD_CLOEXEC, 300)
    add(ep, number, select.EPOLLIN)
    add(ep, spent, select.EPOLLIN | select.EPOLLONESHOT)
    assert wait(ep) == [(spent, select.EPOLLIN)]
    os.close(number)
    os.dup2(ready, number)
    info = f"/proc/self/fdinfo/{ep}"
    with open(info) as file:
        before = file.read()
    for fd in (ep, ready, watched, number, spent):
        world.hold(fd)
    (state,) = world.capture(epoll)
    assert sorted((w.number, w.file_fd) for w in state.watches) == [
        (spent, spent),
        (number, watched),
    ]
    with open(info) as file:
        assert file.read() == before
    assert wait(ep) == []


def watch_under_one_number(world: World, ep: int, one: int, other: int) -> int:
    """Watch `one` for input and `other` for output, both by the same number."""
    number = fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 300)
    add(ep, number, select.EPOLLIN)
    os.dup2(other, number)
    add(ep, number, select.EPOLLOUT)
    for fd in (ep, one, other):
        world.hold(fd)
    return number


@pytest.mark.usefixtures("told_by")
def test_two_files_under_one_number(world: World, ep: int) -> None:
    """A pipe and an eventfd are told apart by what they are."""
    (end, write), event = os.pipe(), os.eventfd(0)
    number = watch_under_one_number(world, ep, end, event)
    (state,) = world.capture(epoll)
    assert {(w.file_fd, w.events & 5) for w in state.watches} == {(end, 1), (event, 4)}
    os.close(write)
    os.close(number)


@pytest.mark.usefixtures("told_by")
@pytest.mark.parametrize("number", [None, "the highest", "others around it"])
def test_files_alike_under_one_number(world: World, ep: int, number: str | None) -> None:
    """Whatever their order in the kernel, that of their addresses."""
    alike = [os.eventfd(0) for _ in range(5)]
    wanted = [select.EPOLLIN, select.EPOLLOUT, select.EPOLLPRI, select.EPOLLIN | select.EPOLLOUT]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        at = hard - 1 if number == "the highest" else 300
        for fd, events in zip(alike, wanted, strict=False):  # one is not watched
            os.dup2(fd, at)
            add(ep, at, events)
            if number == "others around it":
                for neighbour in (at - 1, at + 1):
                    os.dup2(fd, neighbour)
                    add(ep, neighbour, select.EPOLLRDHUP)
        for fd in {at - 1, at, at + 1} if number == "others around it" else {at}:
            os.close(fd)
        with open(f"/proc/self/fdinfo/{ep}") as file:
            before = file.read()
        for fd in (ep, *alike):
            world.hold(fd)
        (state,) = world.capture(epoll)
        found = sorted((w.file_fd, w.events & 7) for w in state.watches if w.number == at)
        assert found == list(zip(alike, wanted, strict=False))
        around = [w.file_fd for w in state.watches if w.number != at]
        assert sorted(around) == sorted(alike[:4] * (2 if number == "others around it" else 0))
        with open(f"/proc/self/fdinfo/{ep}") as file:
            assert file.read() == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("told_by")
def test_a_number_above_our_own_limit(world: World, ep: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    event = os.eventfd(1)
    number = fcntl.fcntl(event, fcntl.F_DUPFD_CLOEXEC, soft - 1)
    add(ep, number, select.EPOLLIN)
    os.close(number)
    world.hold(ep)
    world.hold(event)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
        (state,) = world.capture(epoll)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [(w.number, w.file_fd) for w in state.watches] == [(number, event)]

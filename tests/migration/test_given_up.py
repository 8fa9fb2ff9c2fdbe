"""A migration is given up until it is committed: the pod runs on at the source, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.at_look import AtLook
from harness.hand_over import FakeCopy, FakePod, Hosts
from harness.supervisors import PATIENCE_S, eventually
from zaptrace.cancel import Cancel
from zaptrace.errors import Cancelled, PodError

OURS = "nothing; the pod runs on here"


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.close()
    assert hosts.world.broken == []


def stays(hosts: Hosts, cancel: Cancel, when: Callable[[], None] | None = None) -> None:
    pod = FakePod(hosts.world)
    if when is not None:
        threading.Thread(target=when).start()
    with pytest.raises(Cancelled) as caught:
        hosts.send(pod, cancel=cancel)
    assert caught.value.changed == OURS
    assert hosts.world.running == {"source"} and not pod.killed
    eventually(lambda: list(hosts.staging.iterdir()) == [], "an empty staging directory")


def test_at_each_of_its_looks(hosts: Hosts) -> None:
    never = AtLook("the migration")
    hosts.send(FakePod(hosts.world), cancel=never)
    hosts.world.running.clear()
    hosts.world.running.add("source")
    for record in hosts.staging.iterdir():  # that it came here is remembered
        (record / "record").unlink()
        record.rmdir()
    assert never.looks >= 3
    for n in range(1, never.looks + 1):
        stays(hosts, AtLook("the migration", n))


def test_a_destination_that_never_says_whole(tmp_path: Path) -> None:
    """It gives its restore up, too."""
    begun = threading.Event()

    def spawn(image: str, name: str, gives_up: Callable[[], bool]) -> Any:
        begun.set()
        eventually(gives_up, "the end of it")
        raise PodError("given up")

    hosts = Hosts(tmp_path, spawn=spawn)
    try:
        cancel = Cancel("the migration")

        def ask() -> None:
            begun.wait(PATIENCE_S)
            assert cancel.ask("a test")

        stays(hosts, cancel, ask)
    finally:
        hosts.close()


def test_asked_while_it_is_whole_over_there(tmp_path: Path) -> None:
    cancel, copies = Cancel("the migration"), list[FakeCopy]()

    def spawn(image: str, name: str, gives_up: Callable[[], bool]) -> Any:
        copies.append(FakeCopy(hosts.world, image, name))
        assert cancel.ask("a test")
        return copies[-1]

    hosts = Hosts(tmp_path, spawn=spawn)
    try:
        stays(hosts, cancel)
        assert copies[-1].discarded
    finally:
        hosts.close()


def test_committed_it_cannot_be_given_up(hosts: Hosts) -> None:
    cancel = Cancel("the migration")
    asked: list[bool] = []

    class Leaving(FakePod):
        def kill(self) -> None:
            asked.append(cancel.ask("a test"))
            super().kill()

    hosts.send(Leaving(hosts.world), cancel=cancel)
    assert asked == [False]
    (runs,) = hosts.world.running
    assert runs.startswith("web, copy")


def test_a_server_that_ends_does_not_wait_for_a_restore(tmp_path: Path) -> None:
    begun = threading.Event()

    def spawn(image: str, name: str, gives_up: Callable[[], bool]) -> Any:
        begun.set()
        eventually(gives_up, "the end of it")
        raise PodError("given up")

    hosts = Hosts(tmp_path, spawn=spawn)
    failed: list[Exception] = []

    def send() -> None:
        try:
            hosts.send(FakePod(hosts.world))
        except Exception as error:
            failed.append(error)

    sending = threading.Thread(target=send)
    sending.start()
    assert begun.wait(PATIENCE_S)
    hosts.close()
    sending.join(PATIENCE_S)
    assert hosts.world.running == {"source"}
    assert failed

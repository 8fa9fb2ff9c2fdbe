"""SIGKILL to anybody, at any moment of any verb: one copy runs, or a whole image is there, or the pod
went with its supervisor; and nothing is left behind that the next command does not remove.

ZAPTRACE_KILLS says how many rounds (CI: few), ZAPTRACE_KILLS_FROM which is the first. A round that
fails says its number, which makes it again, but for the moment.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.hosts import Host, two_hosts
from harness.storm import ON_TERMINALS, Client, Storm
from harness.world import FlavourError, told

ROUNDS = int(os.environ.get("ZAPTRACE_KILLS", "14"))
FIRST = int(os.environ.get("ZAPTRACE_KILLS_FROM", "0"))
VERBS = (
    "run", "checkpoint", "migrate", "checkpoint --stop", "restore", "migrate", "stop",
    "attach", "migrate", "freeze", "thaw", "restore", "run in a terminal", "check",
    "checkpoint", "migrate", "logs", "checkpoint --stop", "restore", "ps",
)  # fmt: skip
LASTING = (*ON_TERMINALS, "logs")
"""These end with the pod, or when somebody ends them."""
VICTIMS = ("client", "supervisor", "source", "destination", "arriving", "pod", "copy", "other")
OF_ONE_HOST = ("client", "supervisor", "pod", "other", "source")
THE_POD = {"supervisor", "arriving", "pod", "copy"}
"""With one of these, a copy of the pod goes; and it may be the one that runs."""
THE_PROGRAM = {"pod", "copy"}
"""Of these processes no copy can do without one, so it ends of itself."""
UNDER_WAY = "under way"
_A_WHILE_S = 0.2
_TWO = 0.15
"""How often a second one is killed."""


class Durations:
    """How long each verb takes when it is left alone, here and now."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def of(self, verb: str) -> float:
        return self._known.get(verb, 0.6)

    def took(self, verb: str, seconds: float) -> None:
        self._known[verb] = (self.of(verb) + seconds) / 2


@pytest.fixture
def storm(place: Path) -> Iterator[Storm]:
    with two_hosts(place) as (a, b):
        yield Storm(place, a, b)


@pytest.mark.timeout(120 + 30 * ROUNDS)
def test_one_copy_or_a_whole_image(storm: Storm) -> None:
    killed: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    durations = Durations()
    for number in range(FIRST, FIRST + ROUNDS):
        outcomes[one_round(storm, number, durations, killed)] += 1
    storm.end()
    assert storm.settle() == []
    under_way = killed.pop(UNDER_WAY, 0)
    told.append(
        f"{killed.total()} SIGKILLs in {ROUNDS} rounds, {under_way} while a verb was under way: "
        f"{dict(killed)} left {dict(outcomes)}"
    )


def one_round(storm: Storm, number: int, durations: Durations, killed: Counter[str]) -> str:
    chance = random.Random(f"kill {number}")
    verb = VERBS[number % len(VERBS)]
    who = [chance.choice(VICTIMS if verb == "migrate" else OF_ONE_HOST)]
    who += [chance.choice(VICTIMS)] * (chance.random() < _TWO)
    here = storm.ready(verb)
    there = next(host for host in storm.hosts if host is not here)
    began = time.monotonic()
    with storm.client(verb, here, there) as client:
        moment = chance.random() * durations.of(verb)  # that it is any moment is the point
        if who[0] not in storm.victims(client.pid, here, there):
            wait_for(storm, who[0], client, here, there, durations.of(verb))
            moment = chance.random() * _A_WHILE_S
        gone = []
        for name in who:
            time.sleep(moment)
            gone.append(kill(storm, name, killed, client, here, there))
            moment = chance.random() * _A_WHILE_S
        if verb in LASTING and not client.over():
            os.kill(client.pid, signal.SIGKILL)
            killed["client"] += 1
        status = client.wait()
        if "client" not in gone and verb not in LASTING:
            durations.took(verb, time.monotonic() - began)
        said = f"round {number}: {verb}, SIGKILL to {gone}: exit {status}\n{client.said()}"
    return judge(storm, verb, set(gone), status, said)


def wait_for(
    storm: Storm, who: str, client: Client, here: Host, there: Host, seconds: float
) -> None:
    """Until that one is there to be killed, or will not be."""
    until = time.monotonic() + seconds
    while not client.over() and time.monotonic() < until:
        if who in storm.victims(client.pid, here, there):
            break
        time.sleep(0.01)


def kill(
    storm: Storm, who: str, killed: Counter[str], client: Client, here: Host, there: Host
) -> str:
    """That one, or another who is there; who it was, "" if nobody is."""
    victims = storm.victims(client.pid, here, there)
    who = who if who in victims else next((name for name in VICTIMS if name in victims), "")
    if not who:
        return who
    with contextlib.suppress(ProcessLookupError):
        under_way = not client.over()
        os.kill(victims[who], signal.SIGKILL)
        killed[who] += 1
        killed[UNDER_WAY] += under_way
    return who


def judge(storm: Storm, verb: str, gone: set[str], status: int, said: str) -> str:
    for host in storm.hosts:
        if host.server and host.server.poll() is not None:
            host.serve()
    unsettled = storm.settle()
    assert not unsettled, f"{said}\n" + "\n".join(unsettled)
    pods = storm.pods()
    assert len(pods) <= 1, f"{said}\ntwo copies: {pods}"
    images = storm.images()
    may_go = gone & THE_POD or verb == "stop" or verb.startswith("run")
    assert pods or images or may_go, f"{said}\nneither a pod nor an image is left"
    if status == 0 and not gone & THE_POD:
        done = what_was_promised(storm, verb, pods)
        assert done, f"{said}\nthat is not so: {pods}, {images}"
    for host, pod in pods:
        stopped = verb in ("freeze", "thaw")
        assert pod["state"] == "running" or stopped, f"{said}\nit does not run on: {pod}"
        if pod["state"] == "frozen":
            storm.thaw(host)
        try:
            lives = storm.beats()
        except FlavourError as error:
            raise FlavourError(f"{said}\n{error}") from None
        assert lives or gone & THE_PROGRAM, f"{said}\nit has ended"
        pods = pods if lives else []
    storm.keep_one(images, needed=not pods)
    if gone & THE_PROGRAM:  # what was killed may be dead in the image, too
        storm.forget_image()
    return "a copy" if pods else "an image" if storm.image.exists() else "nothing"


def what_was_promised(storm: Storm, verb: str, pods: list[tuple[Host, dict[str, object]]]) -> bool:
    """What holds after a client that said that all is well."""
    if verb == "stop":
        return not pods
    if verb == "checkpoint --stop":
        return not pods and storm.image.exists()
    if verb == "checkpoint":
        return bool(pods) and storm.image.exists()
    return bool(pods) or verb in LASTING

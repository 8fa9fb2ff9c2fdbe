"""The hand-over as a model, walked whole; and the code, which does nothing that the model does not.

What is proved of the model: at no moment do two copies run, and none is lost unless a host took it
with it, under every interleaving and up to `DEPTH` faults. What the code is driven through: faults
in both of its processes, at their fault points; each run has to be one of the model's.

`ZAPTRACE_HAND_OVERS=all` drives it through every pair of faults, else through `SAMPLED` of them;
a number, through so many.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import socketserver
import subprocess
import threading
from pathlib import Path

import pytest

from harness.hand_over_model import ENDED, POINTS, Faults, State, follow, reachable
from harness.hand_over_processes import Process, live, make_world, staged
from harness.relay import Relay
from zaptrace import migration

DEPTH = 3
SAMPLED = 16

# The model


def kinds(depth: int) -> list[Faults]:
    """Every choice of `depth` faults."""
    chosen = (
        Faults(**{kind: choice.count(kind) for kind in choice})
        for choice in itertools.combinations_with_replacement(Faults._fields, depth)
    )
    return [f for f in chosen if f.restart <= f.kill_destination and f.kill_source <= 1]


def hold(state: State) -> None:
    """What is true at every moment."""
    assert state.running <= 1, "two copies run"
    if state.pod == "gone" and state.source != "dead":
        assert state.copy == "runs" or state.image, "nothing is left of it"
    if state.source == "stays":
        assert (state.pod, state.copy != "runs") == ("runs", True)
    elif state.source == "moved":
        assert state.copy == "runs"


@pytest.mark.parametrize("depth", range(DEPTH + 1))
def test_every_interleaving(depth: int) -> None:
    for faults in kinds(depth):
        ends = set()
        for state, steps in reachable(faults):
            hold(state)
            assert steps or state.ended, "nobody can go on"
            if state.ended:
                ends.add(state.source)
        assert "moved" in ends
        if not any(faults):
            assert ends == {"moved"}


def test_the_invariants_can_fail() -> None:
    """A source that does not kill its copy, and a destination that forgets the image."""
    with pytest.raises(AssertionError, match="two copies"):
        hold(State(copy="runs"))
    with pytest.raises(AssertionError, match="nothing is left"):
        hold(State(source="insist", pod="gone"))


def test_the_points_are_the_code_s() -> None:
    assert {f"migrate.{point}" for point in POINTS} == set(migration.FAULT_POINTS)


def test_following_is_strict() -> None:
    assert follow(Faults(), ["source.connected", "source.offered"])
    assert not follow(Faults(), ["source.offered"])
    assert not follow(Faults(), ["source.connected", "source.connected"])
    assert not follow(Faults(), ["source killed"])


# The code

ACTIONS = ("kill", "raise", "cut")
Plan = tuple[tuple[str, str], ...]


def every_plan() -> list[Plan]:
    """A fault at a point of each side; that a killed destination is restarted is one as well."""
    sides = [
        [(point, action) for point in POINTS if point.startswith(side) for action in actions]
        for side, actions in (
            ("source.", ACTIONS),
            ("destination.", (*ACTIONS, "kill and restart")),
        )
    ]
    return [
        *(((a),) for side in sides for a in side),
        *itertools.product(*sides),
    ]


def plans() -> list[Plan]:
    """Those that are driven through."""
    wanted = os.environ.get("ZAPTRACE_HAND_OVERS", str(SAMPLED))
    every = every_plan()
    if wanted == "all":
        return every
    return random.Random("hand-overs").sample(every, int(wanted))


def faults_of(plan: Plan) -> Faults:
    """What may happen in it."""
    return Faults(
        kill_source=sum(p.startswith("source.") and a == "kill" for p, a in plan),
        kill_destination=sum(p.startswith("dest") and a.startswith("kill") for p, a in plan),
        restart=sum(a == "kill and restart" for _, a in plan),
        cut=sum(a == "cut" for _, a in plan),
        raises=sum(a == "raise" for _, a in plan),
    )


class Cutter(socketserver.UnixStreamServer):
    """Cuts the relay whenever somebody connects to DIR/cutter, and writes it down."""

    def __init__(self, base: Path, relay: Relay) -> None:
        super().__init__(str(base / "cutter"), socketserver.BaseRequestHandler)
        self.base, self.relay = base, relay
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    def finish_request(self, *_: object) -> None:
        """See BaseServer."""
        see(self.base, "cut")
        self.relay.cut()

    def end(self) -> None:
        """No more cuts."""
        self.shutdown()
        self.thread.join(10)
        self.server_close()


def see(base: Path, event: str) -> None:
    """As Plan.see in fake_host.py."""
    with open(base / "events", "a") as events:
        events.write(f"{event}\n")


def word(said: str) -> str:
    """How the source says that it ended, as in the model."""
    if not said:
        return "dead"
    result = json.loads(said)
    if result["error"] is None:
        return "moved"
    return "stays" if result["changed"] == "nothing; the pod runs on here" else "unknown"


@pytest.mark.parametrize("plan", plans(), ids=lambda p: ", ".join(f"{a} at {w}" for w, a in p))
def test_the_code_does_what_the_model_may(tmp_path: Path, plan: Plan) -> None:
    base = make_world(tmp_path)
    planned = json.dumps({point: action.partition(" ")[0] for point, action in plan})
    server = Process(base, "serve", "*", ZAPTRACE_PLAN=planned)
    relay = Relay(server.line())
    cutter = Cutter(base, relay)
    try:
        source = Process(base, "send", relay.endpoint, ZAPTRACE_PLAN=planned)
        if any(action == "kill and restart" for _, action in plan):
            server = restarted(base, server, source, relay.target)
        end = word(source.line())
        source.end()
        if end == "dead":  # and its pod with it
            (base / "world" / "source").unlink(missing_ok=True)
        server.stop()
    finally:
        cutter.end()
        relay.close()
    events = (base / "events").read_text().splitlines()
    running = live(base)
    assert len(running) <= 1
    for n in range(len(events)):
        assert follow(faults_of(plan), events[: n + 1]), f"not in the model: {events[: n + 1]}"
    possible = {
        (s.source, s.pod == "runs", s.copy == "runs", s.image)
        for s in follow(faults_of(plan), events)
        if s.source in ENDED
    }
    assert (
        end,
        "source" in running,
        any(copy.startswith("copy") for copy in running),
        bool(staged(base)),
    ) in possible, " ".join(events)


def restarted(base: Path, server: Process, source: Process, port: int) -> Process:
    """The next server, once this one was killed; this one, when the source ended before that."""
    while server.popen.poll() is None and source.popen.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.popen.wait(0.05)
    if server.popen.poll() is None:
        return server
    server.end()
    see(base, "destination restarted")
    server = Process(base, "serve", str(port), ZAPTRACE_PLAN="{}")
    assert server.line()
    return server

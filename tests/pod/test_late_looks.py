"""A tracer that comes to look when all is over."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.flavours import started
from harness.held import held, step, stops, tracer_of
from harness.runs import PodRun, thread_state
from harness.supervisors import eventually
from harness.world import REAL, compiled
from zaptrace.linux.procfs import status

pytestmark = pytest.mark.tracer

MOST_STEPS = 1000


def children(rpid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{rpid}/task/{rpid}/children").read_text().split()]


@pytest.mark.parametrize("maker", ["first", "second"])
def test_a_child_whose_maker_was_killed_before_it_was_looked_at(maker: str, place: Path):
    """Nobody tells of it: of the first process the end comes before the child's stop, of another behind."""
    with started("pod", [compiled(REAL / "bears.c"), maker], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        eventually(lambda: len(it.processes()) == (2 if maker == "second" else 1), "a maker")
        makers = it.processes()[-1]["rpid"]
        eventually(lambda: thread_state(makers) == "S", "its turn to wait")  # behind its first stop
        with held(tracer_of(makers)):
            it.go()
            eventually(lambda: children(makers), "a child")
            (child,) = children(makers)
            stops(makers)
            stops(child)
            os.kill(makers, signal.SIGKILL)
            eventually(lambda: thread_state(makers) == "Z", "the end of its maker")
        eventually(lambda: "born" in it.output(), "a sign of the child")
        assert it.finish().exit == (0 if maker == "second" else -signal.SIGKILL)


def waits_for(rpid: int, number: int) -> bool:
    return bool(int(status(rpid)["ShdPnd"], 16) >> (number - 1) & 1)


def test_a_stop_that_is_taken_back_while_a_program_begins(place: Path):
    """SIGCONT comes when SIGSTOP has been told to the tracer, which has not passed it on yet."""
    with started("pod", [compiled(REAL / "execs.c")], place) as it:
        assert isinstance(it, PodRun)
        it.wait_for("ready")
        eventually(lambda: len(it.processes()) == 2, "who executes")
        begins = it.processes()[1]["rpid"]
        eventually(lambda: thread_state(begins) == "S", "its turn to wait")  # behind its first stop
        tracer = tracer_of(begins)
        with held(tracer):
            it.go()
            stops(begins)  # it has executed
            os.kill(begins, signal.SIGSTOP)
            assert waits_for(begins, signal.SIGSTOP)
            for _ in range(MOST_STEPS):
                if not waits_for(begins, signal.SIGSTOP) and thread_state(begins) == "t":
                    break
                step(tracer)
            else:
                pytest.fail(f"the tracer was not told of it in {MOST_STEPS} calls")
            os.kill(begins, signal.SIGCONT)
        assert it.finish().exit == 0
        assert "again" in it.output()

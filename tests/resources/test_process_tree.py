"""Plans for trees, carried out in a model of the kernel: fork, setsid, setpgid, subreapers, ends."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zaptrace.errors import UnsupportedResource
from zaptrace.resources.process import tree
from zaptrace.resources.process.tree import Node, plan


@dataclass
class Process:
    pid: int
    parent: int
    pgid: int
    sid: int
    subreaper: bool = False
    zombie: bool = False


@dataclass
class Kernel:
    """The rules, for processes below 0, the supervisor, which takes all orphans."""

    processes: dict[int, Process] = field(default_factory=dict)

    def launch(self, pid: int) -> None:
        assert pid not in self.processes
        self.processes[pid] = Process(pid, 0, pid, pid)

    def fork(self, pid: int, by: int) -> None:
        assert pid not in self.processes
        maker = self.processes[by]
        assert not maker.zombie
        self.processes[pid] = Process(pid, by, maker.pgid, maker.sid)

    def group_exists(self, pgid: int) -> set[int]:
        return {p.sid for p in self.processes.values() if p.pgid == pgid}

    def setsid(self, pid: int) -> None:
        assert not self.group_exists(pid), "EPERM: a group has this number"
        process = self.processes[pid]
        process.sid = process.pgid = pid

    def setpgid(self, pid: int, pgid: int) -> None:
        process = self.processes[pid]
        assert process.sid != pid, "EPERM: a session leader"
        if pgid != pid:
            assert self.group_exists(pgid) == {process.sid}, "EPERM: no such group in its session"
        process.pgid = pgid

    def end(self, pid: int) -> None:
        """It is a zombie now; its children are somebody else's."""
        adopter = self.processes[pid].parent
        while adopter and not self.processes[adopter].subreaper:
            adopter = self.processes[adopter].parent
        for process in self.processes.values():
            if process.parent == pid:
                process.parent = adopter
        self.processes[pid].zombie = True

    def reap(self, pid: int, by: int) -> None:
        process = self.processes[pid]
        assert process.zombie and process.parent == by
        del self.processes[pid]

    def nodes(self) -> list[Node]:
        return [Node(p.pid, p.parent or 1, p.pgid, p.sid) for p in self.processes.values()]

    def carry_out(self, steps: list[tree.Step]) -> None:
        for step in steps:
            match step:
                case tree.Launch(pid):
                    self.launch(pid)
                case tree.Fork(pid, by):
                    self.fork(pid, by)
                case tree.Setsid(pid):
                    self.setsid(pid)
                case tree.Orphan(pid, by, adopter):
                    if adopter:
                        self.processes[adopter].subreaper = True
                    self.fork(10**6, by)
                    self.fork(pid, 10**6)
                    self.end(10**6)
                    self.reap(10**6, by)
                    if adopter:
                        self.processes[adopter].subreaper = False
                    assert self.processes[pid].parent == adopter
                case tree.Setpgid(pid, pgid):
                    self.setpgid(pid, pgid)
                case tree.End(pid, reaper):
                    self.end(pid)
                    self.reap(pid, reaper)


def made_again(nodes: list[Node]) -> None:
    kernel = Kernel()
    kernel.carry_out(plan(nodes))
    key = {n.vpid: n for n in nodes}
    assert {n.vpid: n for n in kernel.nodes()} == key


@dataclass
class History:
    """What happened to the processes of a pod. Subreapers stay what they are."""

    kernel: Kernel = field(default_factory=Kernel)
    last: int = 2

    def __post_init__(self) -> None:
        self.kernel.launch(2)

    def step(self, what: str, which: int, other: int) -> None:
        kernel = self.kernel
        alive = [p for p in kernel.processes.values() if not p.zombie]
        if not alive:
            return
        process = alive[which % len(alive)]
        if what == "fork":
            self.last += 1
            kernel.fork(self.last, process.pid)
        elif what == "setsid" and not kernel.group_exists(process.pid):
            kernel.setsid(process.pid)
        elif what == "setpgid" and process.sid != process.pid:
            groups = sorted({p.pgid for p in kernel.processes.values() if p.sid == process.sid})
            kernel.setpgid(process.pid, [process.pid, *groups][other % (len(groups) + 1)])
        elif what == "subreaper":
            process.subreaper = True
        elif what == "end" and len(alive) > 1:
            parent = process.parent
            kernel.end(process.pid)
            if other % 3 or parent == 0:
                kernel.reap(process.pid, parent)
        for left in [p for p in kernel.processes.values() if p.zombie and p.parent == 0]:
            kernel.reap(left.pid, 0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fork", "fork", "fork", "setsid", "setpgid", "subreaper", "end", "end"]),
        st.integers(0, 60),
        st.integers(0, 60),
    ),
    max_size=60,
)


@settings(max_examples=1000, deadline=None)
@given(STEPS)
def test_any_tree_that_came_about_is_made_again(steps: list[tuple[str, int, int]]):
    history = History()
    for step in steps:
        history.step(*step)
    made_again(history.kernel.nodes())


def test_depth_does_not_matter():
    nodes = [Node(2, 1, 2, 2), *(Node(n, n - 1, 2, 2) for n in range(3, 5000))]
    before = sys.getrecursionlimit()
    made_again(nodes)
    assert sys.getrecursionlimit() == before


def test_a_subreaper_of_two_ended_sessions():
    made_again([Node(2, 1, 2, 2), Node(4, 2, 3, 3), Node(6, 2, 5, 5)])


def test_a_daemon_beside_its_session():
    """Its session's leader has ended; the supervisor has it."""
    made_again([Node(2, 1, 2, 2), Node(4, 1, 3, 3), Node(5, 4, 5, 3)])


def test_a_child_of_the_time_before_setsid():
    made_again([Node(2, 1, 2, 2), Node(3, 2, 3, 3), Node(4, 3, 2, 2), Node(5, 3, 3, 3)])


def test_founders_that_swapped_their_groups():
    made_again([Node(2, 1, 2, 2), Node(3, 2, 4, 2), Node(4, 2, 3, 2)])


def test_what_cannot_have_come_about_is_refused():
    with pytest.raises(UnsupportedResource, match="place in the tree"):
        plan([Node(2, 1, 2, 2), Node(3, 1, 3, 3), Node(4, 3, 2, 2), Node(5, 4, 3, 3)])


def orphans_of_many_sessions(count: int) -> list[Node]:
    """Two in each session, whose leader is no more."""
    return [Node(2 + i, 1, 2 + i, 5_000_000 + i // 2) for i in range(count)]


def leaders_above_an_old_session(count: int) -> list[Node]:
    """A chain of leaders, each with a child of one session that is older than they are."""
    chain = [Node(2 + i, 1 + i, 2 + i, 2 + i) for i in range(count)]
    return chain + [Node(100_000 + i, 2 + i, 7, 5_000_000) for i in range(count)]


def lines_of(nodes: list[Node]) -> int:
    """How many lines of the plan are executed."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename == tree.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(UnsupportedResource):
            plan(nodes)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("made_up", [orphans_of_many_sessions, leaders_above_an_old_session])
def test_made_up_trees_take_no_more_than_their_size(made_up):
    """Whoever writes an image may write a tree that no pod has."""
    assert lines_of(made_up(400)) < 6 * lines_of(made_up(100))

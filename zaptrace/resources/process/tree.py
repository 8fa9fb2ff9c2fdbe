"""In which order to make processes, so that each gets its parent, session and group.

Only a process itself can move, and only downwards: a child is born into its parent's session, and
setsid() starts a new one. So a child whose session is an older one of its parent's was born before
its parent's setsid(); an orphan was born to somebody in its session who ended since. `plan` finds
steps that make the same tree again. Numbers are the pod's.

    Launch(p)      the supervisor makes p, in a session of its own
    Fork(p, by)    process `by` makes p
    Setsid(p)      p starts its own session
    Orphan(p, by)  `by` makes a process that makes p and ends
    Setpgid(p, g)  p joins group g (or starts it, when g is p)
    End(p, reaper) p, which was only needed for its numbers, ends; `reaper` waits for it (0: supervisor)
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ...errors import UnsupportedResource
from ...ids import SUPERVISOR


@dataclass(frozen=True)
class Node:
    """A process or zombie, as the tree needs it."""

    vpid: int
    ppid: int
    pgid: int
    sid: int


@dataclass(frozen=True)
class Launch:
    vpid: int


@dataclass(frozen=True)
class Fork:
    vpid: int
    by: int


@dataclass(frozen=True)
class Setsid:
    vpid: int


@dataclass(frozen=True)
class Orphan:
    vpid: int
    by: int


@dataclass(frozen=True)
class Setpgid:
    vpid: int
    pgid: int


@dataclass(frozen=True)
class End:
    vpid: int
    reaper: int


Step = Launch | Fork | Setsid | Orphan | Setpgid | End


class _Planner:
    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = {n.vpid: n for n in nodes}
        self.children: dict[int, list[Node]] = defaultdict(list)
        for node in nodes:
            parent = node.ppid if node.ppid in self.nodes else SUPERVISOR
            self.children[parent].append(node)
        self.steps: list[Step] = []
        self.group_of: dict[int, int] = {}
        self.session_of: dict[int, int] = {}
        self.helpers: list[End] = []

    def plan(self) -> list[Step]:
        tops = self.children[SUPERVISOR]
        leaders = [n for n in tops if self._born_in(n) is None]
        for node in leaders:
            self._launched(node.vpid)
            self._grow(node)
        for node in tops:
            if node not in leaders:
                self._make_orphan(node)
        self._join_groups()
        # A helper that leads a session outlives those that it made; innermost first.
        return self.steps + self.helpers[::-1]

    def _born_in(self, node: Node) -> int | None:
        """The session that a process must be born into; None: it starts its own, any will do."""
        if node.sid != node.vpid:
            return node.sid
        older = {
            born
            for child in self.children[node.vpid]
            if (born := self._born_in(child)) is not None and born != node.vpid
        }
        if len(older) > 1:
            raise _unsupported(node, f"children in {len(older)} sessions older than its own")
        return older.pop() if older else None

    def _launched(self, vpid: int) -> None:
        self.steps.append(Launch(vpid))
        self.session_of[vpid] = self.group_of[vpid] = vpid

    def _born(self, step: Fork | Orphan) -> None:
        self.steps.append(step)
        self.session_of[step.vpid] = self.session_of[step.by]
        self.group_of[step.vpid] = self.group_of[step.by]

    def _grow(self, node: Node) -> None:
        """A process that exists makes its children, before and after its setsid."""
        late: list[Node] = []
        for child in self.children[node.vpid]:
            born = self._born_in(child)
            if self.session_of[node.vpid] != node.sid and born == self.session_of[node.vpid]:
                self._fork(child, node)
            else:
                late.append(child)
        if node.sid == node.vpid and self.session_of[node.vpid] != node.vpid:
            self.steps.append(Setsid(node.vpid))
            self.session_of[node.vpid] = self.group_of[node.vpid] = node.vpid
        for child in late:
            born = self._born_in(child)
            if born is not None and born != self.session_of[node.vpid]:
                raise _unsupported(child, f"session {born}, which its parent was never in")
            self._fork(child, node)

    def _fork(self, child: Node, parent: Node) -> None:
        self._born(Fork(child.vpid, parent.vpid))
        self._grow(child)

    def _make_orphan(self, node: Node) -> None:
        session = self._born_in(node)
        assert session is not None
        if session not in self.session_of:
            self._launched(session)
            self.helpers.append(End(session, 0))
        if session in self.nodes:
            self._born(Orphan(node.vpid, session))
        else:
            self._born(Fork(node.vpid, session))
        self._grow(node)

    def _join_groups(self) -> None:
        members: dict[int, list[Node]] = defaultdict(list)
        for node in self.nodes.values():
            members[node.pgid].append(node)
        for pgid, nodes in members.items():
            if pgid in self.nodes:
                leader = self.nodes[pgid]
                if leader.pgid == pgid and self.group_of[pgid] != pgid:
                    self.steps.append(Setpgid(pgid, pgid))
                    self.group_of[pgid] = pgid
            elif pgid not in self.session_of:
                self._make_group_leader(pgid, nodes[0])
            for node in nodes:
                if self.group_of[node.vpid] != pgid:
                    self.steps.append(Setpgid(node.vpid, pgid))
                    self.group_of[node.vpid] = pgid

    def _make_group_leader(self, pgid: int, member: Node) -> None:
        """A group whose leader has ended: somebody of its session makes one for a moment."""
        maker = member.sid if member.sid in self.session_of else member.vpid
        self._born(Fork(pgid, maker))
        self.steps.append(Setpgid(pgid, pgid))
        self.group_of[pgid] = pgid
        self.helpers.append(End(pgid, maker))


def plan(nodes: list[Node]) -> list[Step]:
    """Steps that make these processes, parents before children. Raises UnsupportedResource."""
    return _Planner(nodes).plan()


def _unsupported(node: Node, found: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot restore process {node.vpid}: its place in the tree cannot be made again",
        needed="a session that its parent is in, or was in",
        found=found,
        do="start such processes by a double fork, as daemons do",
    )

"""In which order to make processes, so that each gets its parent, session and group.

Only a process itself can move, and only downwards: a child is born into the session that its parent
is in, and setsid() starts a new one. So who is in a session was born to somebody in it:

    directly     its parent is in that session, or was before its own setsid();
    by adoption  its parent never was in it, but is above the leader of it: the one that bore it ended,
                 and the nearest subreaper above took it; the supervisor, if there was none.

A session or group whose leader has ended gets one for a while, with the leader's number, from whoever
is lowest of those that are to adopt its members. `plan` finds steps that make the same tree again; it
is a topological order of births and setsid()s. Numbers are the pod's.

    Launch(p)               the supervisor makes p, in a session of its own
    Fork(p, by)             process `by` makes p
    Setsid(p)               p starts its own session
    Orphan(p, by, adopter)  `by` makes a process that makes p and ends; `adopter` (0: supervisor) has p
    Setpgid(p, g)           p joins group g (or starts it, when g is p)
    End(p, reaper)          p, which was only needed for a while, ends; `reaper` (0: supervisor) waits

A p below 0 has no number of its own.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import Protocol

from ...errors import UnsupportedResource

_BIRTH, _SETSID = 0, 1
_Event = tuple[int, int]
"""_BIRTH or _SETSID, of whom."""


class _Needs(Protocol):
    def __call__(self, event: _Event, *others: _Event) -> None: ...


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
    adopter: int


@dataclass(frozen=True)
class Setpgid:
    vpid: int
    pgid: int


@dataclass(frozen=True)
class End:
    vpid: int
    reaper: int


Step = Launch | Fork | Setsid | Orphan | Setpgid | End


def plan(nodes: list[Node]) -> list[Step]:
    """Steps that make these processes, parents before children. Raises UnsupportedResource."""
    family = _Family(nodes)
    births = _Births(family)
    groups = _Groups(family, births)
    # A helper that leads a session outlives those that it made; innermost first.
    helpers = [*births.helpers, *groups.helpers]
    return births.steps + groups.steps + helpers[::-1]


class _Family:
    """Who descends from whom. Parents that are not in the pod are the supervisor, 0 here."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = {node.vpid: node for node in nodes}
        self.parent = {n.vpid: n.ppid if n.ppid in self.nodes else 0 for n in nodes}
        self.children: dict[int, list[Node]] = defaultdict(list)
        for node in nodes:
            self.children[self.parent[node.vpid]].append(node)
        self.order: list[Node] = []
        """Parents first."""
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        waiting = [(node, False) for node in reversed(self.children[0])]
        while waiting:
            node, done = waiting.pop()
            if done:
                self._last[node.vpid] = len(self.order)
                continue
            self._first[node.vpid] = len(self.order)
            self.order.append(node)
            waiting.append((node, True))
            waiting += [(child, False) for child in reversed(self.children[node.vpid])]
        self._first[0], self._last[0] = -1, len(self.order)

    def is_above(self, one: int, other: int) -> bool:
        """Is `one` an ancestor of `other`, or itself?"""
        return self._first[one] <= self._first[other] < self._last[one]

    def spans(self, vpids: list[int]) -> tuple[int, int]:
        """For `is_above_all`."""
        places = [self._first[vpid] for vpid in vpids]
        return min(places), max(places)

    def is_above_all(self, one: int, spans: tuple[int, int]) -> bool:
        """Is `one` an ancestor of each of those, or itself?"""
        return self._first[one] <= spans[0] and spans[1] < self._last[one]

    def depth_order(self, vpid: int) -> int:
        """Lower for those further up on one line of ancestors."""
        return self._first[vpid]


class _Births:
    """The steps that make all processes in their sessions."""

    def __init__(self, family: _Family) -> None:
        self._family = family
        self._nodes = family.nodes
        members: dict[int, list[int]] = defaultdict(list)
        for node in family.order:
            members[node.sid].append(node.vpid)
        self._spans = {sid: family.spans(vpids) for sid, vpids in members.items()}
        self.steps: list[Step] = []
        self.helpers: list[End] = []
        self.born_in: dict[int, int | None] = {}
        """The session that a process is born into; None: it starts its own, so any will do."""
        self._adopted: dict[int, int] = {}
        """Who is an orphan: its adopter."""
        self._launched: set[int] = set()
        self._helper_by: dict[int, int] = {}
        """Leaders of sessions that are only needed for a while, and who makes them."""
        for node in reversed(family.order):
            self.born_in[node.vpid] = self._birth_of(node)
        for node in family.order:
            self._find_adopter(node)
        for sid, orphans in self._orphans_without_leader().items():
            self._helper_by[sid] = self._lowest_adopter(sid, orphans)
        self._schedule()

    def has_led(self, sid: int) -> bool:
        """Is there a leader of that session, or a helper in its place?"""
        return sid in self._nodes or sid in self._helper_by

    def _birth_of(self, node: Node) -> int | None:
        """Children first. A child of an older session than its parent's own was born before its
        parent's setsid(), unless it can have been adopted."""
        if node.sid != node.vpid:
            return node.sid
        wanted = {self.born_in[child.vpid] for child in self._family.children[node.vpid]}
        older = {
            sid
            for sid in wanted
            if sid is not None and sid != node.vpid and not self._is_led_below(sid, node.vpid)
        }
        if len(older) > 1:
            raise _unsupported(node, f"children in {len(older)} sessions older than its own")
        return older.pop() if older else None

    def _is_led_below(self, sid: int, vpid: int) -> bool:
        if sid in self._nodes:
            return self._family.is_above(vpid, sid)
        return self._family.is_above_all(vpid, self._spans[sid])

    def _was_in(self, vpid: int, sid: int) -> bool:
        return vpid != 0 and (self._nodes[vpid].sid == sid or self.born_in[vpid] == sid)

    def _find_adopter(self, node: Node) -> None:
        sid, parent = self.born_in[node.vpid], self._family.parent[node.vpid]
        if sid is None or self._was_in(parent, sid):
            return
        if sid in self._nodes and not self._family.is_above(parent, sid):
            raise _unsupported(node, f"session {sid}, which its parent was never in")
        self._adopted[node.vpid] = parent

    def _orphans_without_leader(self) -> dict[int, list[int]]:
        """Who is to be adopted, by the session that has no leader any more."""
        found: dict[int, list[int]] = defaultdict(list)
        for vpid in self._adopted:
            sid = self.born_in[vpid]
            if sid and sid not in self._nodes:
                found[sid].append(vpid)
        return found

    def _lowest_adopter(self, sid: int, orphans: list[int]) -> int:
        lowest = max((self._adopted[vpid] for vpid in orphans), key=self._family.depth_order)
        for vpid in orphans:
            if not self._family.is_above(self._adopted[vpid], lowest):
                raise _unsupported(self._nodes[vpid], f"session {sid} of relatives that are apart")
        return lowest

    # -- in which order

    def _schedule(self) -> None:
        rank = {node.vpid: index for index, node in enumerate(self._family.order)}
        rank |= {sid: len(rank) + index for index, sid in enumerate(self._helper_by)}
        after: dict[_Event, list[_Event]] = defaultdict(list)
        missing: dict[_Event, int] = {}

        def needs(event: _Event, *others: _Event) -> None:
            missing[event] = missing.get(event, 0) + len(others)
            for other in others:
                after[other].append(event)

        for node in self._family.order:
            needs((_BIRTH, node.vpid))
            if node.sid == node.vpid:
                needs((_SETSID, node.vpid), (_BIRTH, node.vpid))
        for sid, by in self._helper_by.items():
            needs((_BIRTH, sid), *self._settled(by))
            needs((_SETSID, sid), (_BIRTH, sid))
        for node in self._family.order:
            self._needs_of_birth(node, needs)

        ready = [(rank[vpid], kind, vpid) for (kind, vpid), count in missing.items() if not count]
        heapq.heapify(ready)
        done = 0
        while ready:
            _, kind, vpid = heapq.heappop(ready)
            done += 1
            self._step(kind, vpid)
            for event in after[kind, vpid]:
                missing[event] -= 1
                if not missing[event]:
                    heapq.heappush(ready, (rank[event[1]], *event))
        if done < len(missing):
            stuck = next(vpid for (_, vpid), count in missing.items() if count)
            found = "sessions and parents that depend on each other"
            raise _unsupported(self._nodes.get(stuck) or Node(stuck, 0, 0, stuck), found)

    def _settled(self, vpid: int) -> list[_Event]:
        """It exists, and is in the session that it will stay in."""
        if vpid == 0:
            return []
        leads = self._nodes[vpid].sid == vpid
        return [(_SETSID if leads else _BIRTH, vpid)]

    def _needs_of_birth(self, node: Node, needs: _Needs) -> None:
        birth: _Event = (_BIRTH, node.vpid)
        sid, parent = self.born_in[node.vpid], self._family.parent[node.vpid]
        if node.vpid in self._adopted:
            assert sid is not None
            needs(birth, (_SETSID, sid), *self._settled(parent))
        elif parent != 0 and sid is not None and self._nodes[parent].sid != sid:
            needs(birth, (_BIRTH, parent))
            needs((_SETSID, parent), birth)
        else:
            needs(birth, *self._settled(parent))

    def _step(self, kind: int, vpid: int) -> None:
        if kind == _SETSID:
            if vpid not in self._launched:  # that is what a launch does, too
                self.steps.append(Setsid(vpid))
        elif vpid in self._helper_by:
            by = self._helper_by[vpid]
            if by:
                self.steps.append(Fork(vpid, by))
            else:
                self._launch(vpid)
            self.helpers.append(End(vpid, by))
        elif vpid in self._adopted:
            sid = self.born_in[vpid]
            assert sid is not None
            self.steps.append(Orphan(vpid, sid, self._adopted[vpid]))
        elif parent := self._family.parent[vpid]:
            self.steps.append(Fork(vpid, parent))
        else:
            self._launch(vpid)

    def _launch(self, vpid: int) -> None:
        self.steps.append(Launch(vpid))
        self._launched.add(vpid)


class _Groups:
    """The steps that put all processes into their groups, when they are in their sessions."""

    def __init__(self, family: _Family, births: _Births) -> None:
        self._births = births
        self._family = family
        self.steps: list[Step] = []
        self.helpers: list[End] = []
        self._nameless = 0
        self._now = _groups_at_birth(births.steps)
        members: dict[int, list[Node]] = defaultdict(list)
        for node in family.order:
            members[node.pgid].append(node)
        for pgid, nodes in members.items():
            self._found(pgid, nodes[0])
        for pgid, nodes in members.items():
            founder = family.nodes.get(pgid)
            if founder is not None and founder.pgid != pgid:
                self._keep(pgid, nodes[0])
        for pgid, nodes in members.items():
            for node in nodes:
                self._join(node.vpid, pgid)

    def _found(self, pgid: int, member: Node) -> None:
        if pgid == member.sid and self._births.has_led(pgid):
            return
        if pgid not in self._family.nodes:
            self._helper(pgid, member)
        self._join(pgid, pgid)

    def _keep(self, pgid: int, member: Node) -> None:
        """Its founder is in another group by now: so somebody is in it until all have joined."""
        self._nameless -= 1
        self._helper(self._nameless, member)
        self._join(self._nameless, pgid)

    def _helper(self, vpid: int, member: Node) -> None:
        """Somebody of the member's session makes one for a while."""
        maker = member.sid if self._births.has_led(member.sid) else member.vpid
        self.steps.append(Fork(vpid, maker))
        self._now[vpid] = self._now[maker]
        self.helpers.append(End(vpid, maker))

    def _join(self, vpid: int, pgid: int) -> None:
        if self._now[vpid] != pgid:
            self.steps.append(Setpgid(vpid, pgid))
            self._now[vpid] = pgid


def _groups_at_birth(steps: list[Step]) -> dict[int, int]:
    now: dict[int, int] = {}
    for step in steps:
        if isinstance(step, Launch | Setsid):
            now[step.vpid] = step.vpid
        elif isinstance(step, Fork | Orphan):
            now[step.vpid] = now[step.by]
    return now


def _unsupported(node: Node, found: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot restore process {node.vpid}: its place in the tree cannot be made again",
        needed="a session that its parent is in, was in, or is above",
        found=found,
        do="start such processes by a double fork, as daemons do",
    )

"""The hand-over as a model: every state that source, destination and the wire can come into.

Each side is a program of small steps (`SOURCE`, `CONVERSATION`, `GO`), as in zaptrace/migration;
its fault points have the names that they have there, so what the code passes can be compared with
what the model may pass (`follow`). `successors` gives all that can happen next, faults included;
`Faults` says how many of each there may still be.

    kill_source, kill_destination   at any moment; a frozen copy dies with its process, a running
                                    one does not; the source's pod dies with the source
    restart                         of a destination that was killed
    cut                             of every connection; of what is on the way any part arrives
    raises                          at a fault point of either side
    late                            a wait of either side ends before what it waits for comes
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

PARTS = 2
"""Parts of the image; as many as the pod of harness/fake_host.py has."""


class Faults(NamedTuple):
    """How many faults of each kind may still happen."""

    kill_source: int = 0
    kill_destination: int = 0
    restart: int = 0
    cut: int = 0
    raises: int = 0
    late: int = 0


class State(NamedTuple):
    """All that matters of both hosts at one moment."""

    # The source: where it is in SOURCE, or a word: stay, abort, aborting, insist, insisting, dead,
    # or how it ended: stays, moved, unknown.
    source: int | str = 0
    pod: str = "runs"  # runs, frozen, gone
    sent: bool = False  # the destination may have all of it
    insisted: bool = False
    # The conversation: what is on its way, and what each side sees after that ("": it is open).
    down: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    source_sees: str = ""  # gone
    destination_sees: str = ""
    # A second one, in which the source says what it decided.
    request: str = ""  # go, abort
    answer: str = ""  # live, aborted, error
    # The destination: its process, where it is in CONVERSATION (or doubt, over), what it holds.
    alive: bool = True
    conversation: int | str = 0
    going: tuple[str, int, bool] | None = None  # whose go, where in GO, is the copy a second one
    arrival: str = ""  # receiving, whole, kept, unsure, live, aborted
    copy: str = ""  # frozen, runs
    record: str = ""  # whole, thawing, live
    image: bool = False  # whole, on disk
    faults: Faults = Faults()

    @property
    def running(self) -> int:
        """How many copies run."""
        return (self.pod == "runs") + (self.copy == "runs")

    @property
    def ended(self) -> bool:
        """Nothing more happens by itself."""
        return self.source in ENDED and (not self.alive or self.conversation in ("over", 0))


Step = tuple[str, State]
"""What is seen of it ("" when nothing is), and what is then."""

ENDED = ("stays", "moved", "unknown", "dead")

SOURCE = (
    ("point", "source.connected"),
    ("send", "offer"),
    ("point", "source.offered"),
    ("recv", "accept"),
    ("point", "source.accepted"),
    ("do", "freeze"),
    ("point", "source.frozen"),
    *((("send", "part"), ("send", "end"), ("point", "source.part_sent")) * PARTS),
    ("do", "sent"),
    ("send", "manifest"),
    ("point", "source.sent"),
    ("recv", "staged"),
    ("point", "source.staged"),
    ("recv", "whole"),
    ("point", "source.whole"),
    ("do", "kill"),
    ("point", "source.committed"),
    ("send", "go"),
    ("point", "source.go_said"),
    ("recv", "live"),
    ("point", "source.live"),
    ("do", "end"),
)
_COMMITTED = SOURCE.index(("do", "kill"))

CONVERSATION = (
    ("recv", "offer"),
    ("point", "destination.offered"),
    ("do", "begin"),
    ("send", "accept"),
    ("point", "destination.accepted"),
    *((("recv", "part"), ("point", "destination.receiving"), ("recv", "end")) * PARTS),
    ("recv", "manifest"),
    ("point", "destination.received"),
    ("do", "stage"),
    ("send", "staged"),
    ("point", "destination.staged"),
    ("do", "restore"),
    ("point", "destination.whole"),
    ("do", "whole"),
    ("point", "destination.whole_said"),
    ("do", "decision"),
)
_WHOLE = CONVERSATION.index(("do", "whole"))

GO = (
    ("point", "destination.go_heard"),
    ("do", "again"),
    ("do", "note"),
    ("point", "destination.thawing"),
    ("do", "thaw"),
    ("point", "destination.thawed"),
    ("do", "live"),
    ("point", "destination.live"),
    ("do", "answer"),
)
_THAWED = GO.index(("do", "thaw"))
_LIVE = GO.index(("do", "live"))

POINTS = tuple(name for op, name in dict.fromkeys(SOURCE + CONVERSATION + GO) if op == "point")


def successors(state: State) -> Iterator[Step]:
    """Everything that can happen next."""
    if state.source not in ENDED:
        yield from _source(state)
        yield from _kill_source(state)
    if state.alive:
        if state.going is None:
            yield from _conversation(state)
            yield from _request(state)
        else:
            yield from _go(state)
        yield from _kill_destination(state)
    elif state.faults.restart:
        yield "destination restarted", _restarted(state)
    if state.faults.cut:
        yield from (("cut", s) for s in _cut(_spend(state, "cut")))


def reachable(faults: Faults) -> Iterator[tuple[State, list[Step]]]:
    """Every state that can be reached under `faults`, with all that can happen next in it."""
    first = State(faults=faults)
    seen, waiting = {first}, [first]
    while waiting:
        state = waiting.pop()
        steps = list(successors(state))
        yield state, steps
        for _, after in steps:
            if after not in seen:
                seen.add(after)
                waiting.append(after)


def follow(faults: Faults, events: Iterable[str]) -> set[State]:
    """The states in which one may be after `events` were seen, in this order; none: impossible."""
    states = _quietly({State(faults=faults)})
    for event in events:
        states = _quietly({after for s in states for seen, after in successors(s) if seen == event})
    return states


def _quietly(states: set[State]) -> set[State]:
    """With all that can be reached without anything to be seen."""
    seen, waiting = set(states), list(states)
    while waiting:
        for event, after in successors(waiting.pop()):
            if not event and after not in seen:
                seen.add(after)
                waiting.append(after)
    return seen


def _spend(state: State, kind: str) -> State:
    left = getattr(state.faults, kind) - 1
    return state._replace(faults=state.faults._replace(**{kind: left}))


# The source


def _source(state: State) -> Iterator[Step]:
    at = state.source
    if isinstance(at, str):
        yield from _source_in_trouble(state, at)
        return
    op, what = SOURCE[at]
    after = state._replace(source=at + 1)
    if op == "point":
        yield what, after
        if state.faults.raises:
            yield what + " raised", _source_fails(_spend(state, "raises"))
    elif op == "send":
        if state.source_sees:
            yield "", _source_fails(state)
            yield "", after  # it has not noticed yet, and says it to nobody
        else:
            yield "", after._replace(down=(*state.down, what))
    elif op == "recv":
        if state.up:
            right = state.up[0] == what
            rest = state.up[1:]
            if right:
                yield "", after._replace(up=rest)
            else:
                yield "", _source_fails(state._replace(up=rest, source_sees="gone"))
        elif state.source_sees:
            yield "", _source_fails(state)
        if state.faults.late:
            yield "", _source_fails(_spend(state, "late"))
    elif what == "freeze":
        yield "", after._replace(pod="frozen")
    elif what == "sent":
        yield "", after._replace(sent=True)
    elif what == "kill":
        yield "", after._replace(pod="gone")
    else:
        yield "", _leave(state._replace(source="moved"))


def _source_fails(state: State) -> State:
    assert isinstance(state.source, int)
    return state._replace(source="stay" if state.source <= _COMMITTED else "insist")


def _source_in_trouble(state: State, at: str) -> Iterator[Step]:
    if at == "stay":
        state = state._replace(pod="runs")
        if not state.sent:
            yield "", _leave(state._replace(source="stays"))
        elif state.source_sees:
            yield "", state._replace(source="abort")
            yield "", _leave(state._replace(source="stays"))  # it has not noticed yet
        else:
            yield "", _leave(state._replace(source="stays", down=(*state.down, "abort")))
    elif at in ("abort", "insist"):
        decision = "abort" if at == "abort" else "go"
        if at == "insist":
            state = _leave(state)
        if state.alive:
            yield "", state._replace(source=at + "ing", request=decision, answer="")
        else:
            yield "", _unheard(state, at)
        if at == "insist" and state.insisted:
            yield "", state._replace(source="unknown")
    else:
        decided = at.removesuffix("ing")
        if state.answer in ("live", "aborted"):
            ended = "stays" if decided == "abort" else "moved"
            yield "", _leave(state._replace(source=ended, answer="", request=""))
        elif state.answer or not state.alive:
            yield "", _unheard(state, decided)
        if state.faults.late:
            yield "", _unheard(_spend(state, "late"), decided)


def _unheard(state: State, decided: str) -> State:
    """It could not say what it decided."""
    state = state._replace(request="", answer="")
    if decided == "abort":
        return _leave(state._replace(source="stays"))
    return state._replace(source="insist", insisted=True)


def _leave(state: State) -> State:
    """The source's end of the conversation is closed; what it said before still arrives."""
    return state._replace(source_sees="gone", destination_sees="gone", up=())


def _kill_source(state: State) -> Iterator[Step]:
    if state.faults.kill_source:
        dead = _spend(state, "kill_source")
        dead = _leave(dead._replace(source="dead", pod="gone", request="", answer=""))
        for arrived in _prefixes(dead.down):
            yield "source killed", dead._replace(down=arrived)


# The destination


def _conversation(state: State) -> Iterator[Step]:
    at = state.conversation
    if at == "over":
        return
    if at == "doubt":
        if state.arrival != "whole":
            yield "", state._replace(conversation="over")
        else:
            yield "", state._replace(conversation="over", copy="", arrival="kept")
        return
    assert isinstance(at, int)
    op, what = CONVERSATION[at]
    after = state._replace(conversation=at + 1)
    if op == "point":
        yield what, after
        if state.faults.raises:
            yield what + " raised", _conversation_fails(_spend(state, "raises"))
    elif op == "send":
        if state.destination_sees:
            yield "", _conversation_fails(state)
            yield "", after  # it has not noticed yet, and says it to nobody
        else:
            yield "", after._replace(up=(*state.up, what))
    elif op == "recv":
        if state.down:
            rest = state._replace(down=state.down[1:])
            if state.down[0] == what:
                yield "", rest._replace(conversation=at + 1)
            else:
                yield "", _conversation_fails(rest)
        elif state.destination_sees and at:
            yield "", _conversation_fails(state)
        elif state.destination_sees:
            yield "", state._replace(conversation="over")
        if state.faults.late and at:
            yield "", _conversation_fails(_spend(state, "late"))
    elif what == "begin":
        yield "", after._replace(arrival="receiving")
    elif what == "stage":
        yield "", after._replace(image=True)
    elif what == "restore":
        yield "", after._replace(copy="frozen")
    elif what == "whole":
        whole = after._replace(arrival="whole", record="whole")
        if state.arrival != "receiving":
            yield "", _conversation_fails(state)
        elif state.destination_sees:
            yield "", _conversation_fails(state)
            yield "", whole  # it has not noticed yet, and says it to nobody
        else:
            yield "", whole._replace(up=(*state.up, "whole"))
    else:
        yield from _decision(state)


def _decision(state: State) -> Iterator[Step]:
    if state.down:
        decided, state = state.down[0], state._replace(down=state.down[1:])
        yield "", _decide(state, decided, "conversation")
    elif state.destination_sees:
        yield "", _conversation_fails(state)
    if state.faults.late:
        yield "", _conversation_fails(_spend(state, "late"))


def _conversation_fails(state: State) -> State:
    """It says so, and leaves; what it has is removed, or in doubt once "whole" was said."""
    at = state.conversation
    state = state._replace(source_sees="gone", destination_sees="gone", down=())
    if isinstance(at, int) and at > _WHOLE:
        return state._replace(conversation="doubt")
    return _removed(state._replace(conversation="over"))


def _removed(state: State) -> State:
    return state._replace(arrival="", copy="", record="", image=False)


def _request(state: State) -> Iterator[Step]:
    if state.request and not state.answer:
        if state.arrival:
            yield "", _decide(state, state.request, "request")
        else:
            yield "", state._replace(answer="aborted" if state.request == "abort" else "error")


def _decide(state: State, decided: str, who: str) -> State:
    if decided == "go":
        if state.arrival == "live":
            return state._replace(going=(who, _LIVE, False))
        return state._replace(going=(who, 0, False))
    if state.arrival == "live":
        return _refused(state, who)
    if state.arrival == "receiving":
        return _answered(state._replace(arrival="aborted"), who, "aborted")
    return _answered(_removed(state), who, "aborted")


def _go(state: State) -> Iterator[Step]:
    assert state.going is not None
    who, at, again = state.going
    op, what = GO[at]
    after = state._replace(going=(who, at + 1, again))
    if op == "point":
        yield what, after
        if state.faults.raises:
            failed = _spend(state, "raises")
            if what == "destination.thawing":
                failed = failed._replace(record="whole", copy="" if again else failed.copy)
            yield what + " raised", _refused(failed, who)
    elif what == "again":
        if state.arrival == "kept":
            yield "", after._replace(going=(who, at + 1, True), copy="frozen")
        elif state.arrival == "whole" and state.copy:
            yield "", after
        else:
            yield "", _refused(state, who)
    elif what == "note":
        yield "", after._replace(record="thawing")
    elif what == "thaw":
        assert state.copy == "frozen", "what runs, or is not there, is thawed"
        yield "", after._replace(copy="runs", arrival="live")
    elif what == "live":
        yield "", after._replace(record="live", image=False)
    else:
        yield "", _answered(state, who, "live")


def _answered(state: State, who: str, answer: str) -> State:
    state = state._replace(going=None)
    if who == "request":
        return state._replace(answer=answer if state.request else "")
    return state._replace(
        conversation="over",
        up=state.up if state.destination_sees else (*state.up, answer),
        source_sees="gone",
        destination_sees="gone",
        down=(),
    )


def _refused(state: State, who: str) -> State:
    state = state._replace(going=None)
    if who == "request":
        return state._replace(answer="error" if state.request else "")
    return _conversation_fails(state)


def _kill_destination(state: State) -> Iterator[Step]:
    if state.faults.kill_destination:
        dead = _spend(state, "kill_destination")._replace(
            alive=False,
            conversation="over",
            going=None,
            arrival="",
            copy="runs" if state.copy == "runs" else "",
            source_sees="gone",
            destination_sees="gone",
            down=(),
            request="",
            answer="error" if state.request and not state.answer else state.answer,
        )
        for arrived in _prefixes(state.up):
            yield "destination killed", dead._replace(up=arrived)


def _restarted(state: State) -> State:
    state = _spend(state, "restart")._replace(alive=True)
    if not state.record:
        return state._replace(image=False)
    arrival = {"whole": "kept", "thawing": "unsure", "live": "live"}[state.record]
    return state._replace(arrival=arrival, image=state.image and arrival != "live")


# The wire


def _cut(state: State) -> Iterator[State]:
    state = state._replace(source_sees="gone", destination_sees="gone")
    answers = {state.answer}
    if state.request:
        answers.add("error")  # nothing of it comes back; the request itself may have arrived
    for down in _prefixes(state.down):
        for up in _prefixes(state.up):
            for answer in answers:
                yield state._replace(down=down, up=up, answer=answer)


def _prefixes(messages: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for n in range(len(messages) + 1):
        yield messages[:n]

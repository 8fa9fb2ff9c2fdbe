"""`shifted` proves something, whichever way the machine allows, or says that it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import strangers
from harness.flavours import run_flavour, started
from harness.shifted import ShiftedRun
from harness.strangers import not_shifted
from harness.world import PROGRAMS, FlavourError, compiled

FREE = "no such process"


def test_what_is_not_shifted():
    answers = {"70": FREE, "71": "a stranger", "90": FREE}
    assert not_shifted([70, 71], [(70, 90), (71, 91)], answers) == []
    said = not_shifted([70, 71], [(70, 71), (71, 91)], answers)
    assert any(line.startswith("71, an old number, is a thread of the pod again") for line in said)
    assert not_shifted([70], [(70, 70)], answers), "its old number again"
    assert not_shifted([70], [(70, 80), (72, 90)], answers), "nobody looked at 72"
    assert not_shifted([70], [], answers), "no thread"


@pytest.mark.parametrize("way", strangers.WAYS)
def test_every_way(way: str, place: Path, monkeypatch: pytest.MonkeyPatch):
    """Several processes, and threads, and twice: what they were called first is not theirs again."""
    if way == "namespace" and (why := strangers.no_namespace()):
        pytest.skip(f"no pid namespace for an ordinary user: {why}")
    if way == "round" and strangers.pid_max() > strangers.SMALL_PID_MAX:
        pytest.skip(f"pid_max is {strangers.pid_max()}: too far to go round")
    monkeypatch.setattr(strangers, "CHOSEN", way)
    for name in ("fork_tree", "threads"):
        outcome = run_flavour("shifted", [compiled(PROGRAMS / f"{name}.c")], place, moments=2)
        assert outcome.cycles == 2
        said = [note for note in outcome.notes if "old ids" in note]
        assert len(said) == 2
        for note in said if way == "namespace" else ():  # others may be in the way of the others
            held, _, total = note.partition(" old ids")[0].partition(" of ")
            assert held == total, note


def test_every_way_is_known(monkeypatch: pytest.MonkeyPatch):
    kinds = {"round": strangers.GoingRound, "elsewhere": strangers.Elsewhere}
    for way, kind in kinds.items():
        monkeypatch.setattr(strangers, "CHOSEN", way)
        assert isinstance(strangers.strangers(), kind)


def test_a_large_pid_max_finds_another_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strangers, "CHOSEN", None)
    monkeypatch.setattr(strangers, "pid_max", lambda: 1 << 22)
    monkeypatch.setattr(strangers, "no_namespace", lambda: "forbidden")
    assert strangers.strangers().way == "elsewhere"
    assert "forbidden" in strangers.strangers().occupy([1])
    monkeypatch.setattr(strangers, "no_namespace", lambda: "")
    found = strangers.strangers()
    assert found.way == "namespace"
    found.close()
    monkeypatch.setattr(strangers, "pid_max", lambda: 1 << 15)
    monkeypatch.setattr(strangers, "no_namespace", lambda: "forbidden")
    assert strangers.strangers().way == "round"


def test_ids_that_did_not_shift_fail(place: Path, monkeypatch: pytest.MonkeyPatch):
    """The restored pod is given a number that it had."""
    monkeypatch.setattr(strangers, "CHOSEN", "elsewhere")
    with started("shifted", [compiled(PROGRAMS / "fork_tree.c")], place) as it:
        assert isinstance(it, ShiftedRun)
        it.wait_for("ready")
        before = it.checkpoint("stop")
        assert before
        it._stopped(before)
        asked = it.ask

        def ask(verb: str, **more):
            answer = asked(verb, **more)
            if verb == "restore":
                first, *rest = answer["ids"]
                answer["ids"] = [(first[0], first[0]), *rest]
            return answer

        monkeypatch.setattr(it, "ask", ask)
        with pytest.raises(FlavourError, match="not shifted, so this proves nothing"):
            it.restore()

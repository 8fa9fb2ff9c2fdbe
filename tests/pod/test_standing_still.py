"""A pod that stands still for a call of its own is not frozen: nobody else may take it as such."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from zaptrace.pod import asked, pod


def test_it_is_not_taken_as_frozen_meanwhile(monkeypatch: pytest.MonkeyPatch):
    """A checkpoint that asked for it then left the pod frozen for ever, as it had found it."""
    it: Any = pod.Pod.__new__(pod.Pod)
    state = SimpleNamespace(frozen=False)
    seen: list[bool] = []
    reader = threading.Thread(target=lambda: seen.append(it.frozen))

    def stand_still(*_: object) -> None:
        state.frozen = True
        reader.start()
        reader.join(0.1)  # it looks now, or when that is over
        state.frozen = False

    calls = {
        "zt_pod_wants": lambda _: 1,
        "zt_loop_frozen": lambda _: state.frozen,
        "zt_loop_run": lambda *_: 1,
        "zt_pod_told": lambda *_: 0,
    }
    monkeypatch.setattr(asked, "stand_still", stand_still)
    monkeypatch.setattr(pod, "lib", SimpleNamespace(**calls))
    it._handle_lock, it._handle, it.kept = threading.Lock(), object(), None
    it._note_root = lambda: None
    assert it._turn(populated=False)
    reader.join()
    assert seen == [False]

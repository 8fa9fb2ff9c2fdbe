"""What a pod has for a moment only is waited for: with the pod running, however slow the host is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zaptrace.errors import Unsettled
from zaptrace.pod import checkpoint

LOOK_S = 1.0


class SlowPod:
    """Each look at it takes its time, and it is settled when it has run for so long."""

    def __init__(self, settles_s: float) -> None:
        self.settles_s = settles_s
        self.now = self.ran = 0.0
        self.frozen = False
        self.keeps: list[tuple[float, bool]] = []
        """When it was looked at, and whether what waits might be accepted then."""

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert not self.frozen
        self.now += seconds
        self.ran += seconds

    def freeze(self, _cancel: object) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False

    def call(self, *work: object) -> dict[str, Any]:
        self.keeps.append((self.ran, work[-1] is True))
        self.now += LOOK_S
        if self.ran < self.settles_s:
            raise Unsettled("cannot checkpoint it: there is something for a moment")
        return {"settled": True}


def looked_at(pod: Any, monkeypatch: pytest.MonkeyPatch, *, patient: bool = True) -> Any:
    monkeypatch.setattr(checkpoint, "time", pod)
    how = SimpleNamespace(cancel=None, hush=SimpleNamespace(end=lambda: None))
    capture: Any = checkpoint._capture_settled
    return capture(pod, None, how, patient=patient)


def test_it_runs_as_long_as_looks_take(monkeypatch: pytest.MonkeyPatch):
    pod = SlowPod(settles_s=3 * LOOK_S)
    manifest, frozen_at = looked_at(pod, monkeypatch)
    assert manifest["settled"] and pod.frozen and frozen_at == pod.now - LOOK_S


def test_one_that_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch):
    pod = SlowPod(settles_s=1000)
    with pytest.raises(Unsettled):
        looked_at(pod, monkeypatch)
    assert checkpoint.SETTLES_S <= pod.ran <= checkpoint.SETTLES_S + LOOK_S


def test_one_that_was_frozen_does_not_run_for_it(monkeypatch: pytest.MonkeyPatch):
    pod = SlowPod(settles_s=1)
    with pytest.raises(Unsettled):
        looked_at(pod, monkeypatch, patient=False)
    assert pod.ran == 0


def test_what_waits_to_be_accepted_is_left_to_the_program_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
):
    pod = SlowPod(settles_s=2 * LOOK_S)
    looked_at(pod, monkeypatch)
    assert len(pod.keeps) > 1
    assert all(keeps == (ran >= checkpoint.KEEPS_AFTER_S) for ran, keeps in pod.keeps)
    frozen = SlowPod(settles_s=0)
    looked_at(frozen, monkeypatch, patient=False)
    assert frozen.keeps == [(0.0, True)]

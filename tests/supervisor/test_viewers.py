"""Who holds a pod back: a viewer that keeps up, for as long as it owes something, and no longer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zaptrace.supervisor import attach
from zaptrace.supervisor.attach import Viewers
from zaptrace.supervisor.control_socket import Request


class Ring:
    limit, size, start, end = 100, (24, 80), 0, 0

    def read(self, at: int, count: int) -> tuple[int, bytes]:
        return at, bytes(min(count, self.end - at))

    def facts(self) -> dict[str, Any]:
        return {}


class Socket:
    def offer(self, client: bytes, message: dict[str, Any]) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    at = [0.0]
    monkeypatch.setattr(attach, "time", SimpleNamespace(monotonic=lambda: at[0]))
    return at


def test_a_viewer_that_was_idle_holds_the_pod_back(now: list[float]) -> None:
    """What it had nothing to show for long is not held against it."""
    ring: Any = Ring()
    terminal: Any = SimpleNamespace(ring=ring, resize=lambda *_: None)
    socket: Any = Socket()
    viewers = Viewers(terminal, socket)
    request = Request(b"client", 1, "attach", {})
    viewers.attach(request, 24, 80)
    viewers.all[0].alive_at = now[0]
    for _ in range(2):
        now[0] += 10 * attach.STALL_S
        ring.end += ring.limit
        viewers.feed()
        assert not viewers.has_room()
        now[0] += 2 * attach.STALL_S
        assert viewers.has_room()  # it stalls
        viewers.ack(request, ring.end)
        assert viewers.has_room() and viewers.has_seen_all()

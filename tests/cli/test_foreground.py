"""A client whose terminal is joined to a pod's, when the supervisor is the one that does not answer."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import zmq

from zaptrace.cli._foreground import Attached, Signals
from zaptrace.supervisor import control


class Mute:
    """As control.Client, of a supervisor that lives and says nothing."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.PULL)
        self.said: list[str] = []

    def __enter__(self) -> Mute:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close(0)
        self._context.term()

    def send(self, verb: str, **arguments: object) -> int:
        self.said.append(verb)
        return len(self.said)

    def post(self, verb: str, **arguments: object) -> None:
        self.said.append(verb)

    def receive_now(self) -> dict[str, Any] | None:
        return None

    def alive(self) -> bool:
        return True


def test_who_wants_to_leave_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SILENCE_S", 0.1)
    with Signals((signal.SIGTERM,)) as signals, Mute() as client:
        attached = Attached(client, signals, owner=False, tail=0)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)
        assert attached.run() is None
        assert attached.close()
    assert client.said == ["attach", "detach"]

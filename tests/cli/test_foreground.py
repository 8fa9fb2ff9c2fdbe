"""A client whose terminal is joined to a pod's, where one of the two does not answer."""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import Any

import pytest

from harness.shell import Shell
from harness.supervisors import PATIENCE_S, eventually
from zaptrace.cli._attached import Attached, How
from zaptrace.cli._foreground import Signals
from zaptrace.supervisor import control
from zaptrace.supervisor.stream import Stream


class Mute:
    """As control.Client, of a supervisor that lives and says nothing."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        self.stream = Stream(ours)
        self.said: list[str] = []

    def __enter__(self) -> Mute:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self._theirs.close()

    def send(self, verb: str, **arguments: object) -> int:
        self.said.append(verb)
        return len(self.said)

    def post(self, verb: str, **arguments: object) -> None:
        self.said.append(verb)

    def receive_now(self) -> dict[str, Any] | None:
        return None

    def has_message(self) -> bool:
        return False

    def alive(self) -> bool:
        return True


@pytest.mark.parametrize("leave", ["keys", "signal", "stop"])
def test_a_terminal_that_takes_nothing(zaptrace: Shell, leave: str) -> None:
    """Keys and signals are heard all the same, and so is the end."""
    with zaptrace.terminal("run", "--name", "web", "--", "yes") as screen:
        eventually(lambda: not screen.is_cooked())
        eventually(lambda: not select.select([], [screen.slave], [], 0)[1])
        if leave == "keys":
            screen.type(b"\x1cd")
        elif leave == "stop":
            assert zaptrace("stop", "web", "--kill").returncode == 0
            eventually(screen.is_cooked)
            screen.child.terminate()
        else:
            with zaptrace.terminal("attach", "web") as other:
                eventually(lambda: not select.select([], [other.slave], [], 0)[1])
                other.child.terminate()
                assert other.child.wait(PATIENCE_S) == 0
                assert other.is_cooked()
            screen.child.terminate()  # which `yes` does not outlive
        status = {"keys": 0, "signal": 143, "stop": 137}[leave]
        assert screen.child.wait(PATIENCE_S) == status
        assert screen.is_cooked()


def test_who_wants_to_leave_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SILENCE_S", 0.1)
    with Signals((signal.SIGTERM,)) as signals, Mute() as client:
        attached = Attached(client, signals, How())  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)
        assert attached.run() is None
        assert attached.close()
    assert client.said == ["attach", "detach"]

"""Pod.exec: a process more in a pod, followed to its end, and what it writes read meanwhile."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from typing import Any

from ..errors import ZaptraceError
from ..supervisor.control import Client, Outcome
from .results import Executed
from .results import Outcome as EndOfPod

_LOOK_MS = 200
_BITE = 1 << 16
_KILLED_S = 10.0


def run(
    client: Client,
    asked: dict[str, Any],
    stdio: tuple[int, int, int] | None,
    timeout: float | None,
) -> Executed:
    """Raises TimeoutError when it has not ended after so many seconds; as after a ctrl-c, it is killed."""
    with contextlib.ExitStack() as stack:
        pipes = _Pipes(stack) if stdio is None else None
        request = client.send_with(pipes.given if pipes else stdio or (), "exec", **asked)
        if pipes:
            pipes.are_given()
        deadline = None if timeout is None else time.monotonic() + timeout
        vpid: int | None = None
        try:
            for message in _messages(client, request, pipes, deadline):
                if "progress" in message:
                    vpid = int(message["progress"]["vpid"])
                elif "ok" in message:
                    return _ended(message, vpid, pipes)
        except (KeyboardInterrupt, TimeoutError) as given_up:
            client.gives_up = lambda: False
            _kill(client, request, vpid)
            if isinstance(given_up, TimeoutError):
                raise TimeoutError(
                    f"{asked['argv'][0]!r} has not ended after {timeout} s"
                ) from None
            raise
    raise AssertionError("there is a reply, or an error")


def _messages(
    client: Client, request: int, pipes: _Pipes | None, deadline: float | None
) -> Iterator[dict[str, Any]]:
    while True:
        poller = select.poll()
        for fd in pipes.open if pipes else ():
            poller.register(fd, select.POLLIN)
        if not client.stream.ended:
            poller.register(client.stream.fileno(), select.POLLIN)
        poller.poll(_LOOK_MS)
        if pipes:
            pipes.read()
        while (message := client.receive_now()) is not None:
            if message.get("id") == request:
                if message.get("ok") is False:
                    raise ZaptraceError.from_dict(message["error"])
                yield message
        if client.gives_up():
            raise KeyboardInterrupt
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError
        if not client.alive() and not client.has_message():
            yield {"ok": True, "outcome": client.last_words().to_dict()}


def _ended(message: dict[str, Any], vpid: int | None, pipes: _Pipes | None) -> Executed:
    if pipes:
        pipes.read()
    out, err = map(bytes, pipes.read_so_far) if pipes else (b"", b"")
    if "outcome" in message:
        end = EndOfPod.of(Outcome.from_dict(message["outcome"]).to_dict())
        return Executed(vpid or 0, None, out, err, end)
    return Executed(vpid or 0, os.waitstatus_to_exitcode(message["status"]), out, err)


def _kill(client: Client, request: int, vpid: int | None) -> None:
    """Returns when it has ended; one that did not begin yet does so first."""
    with contextlib.suppress(ZaptraceError):
        if vpid is not None:
            client.call("signal", signal=int(signal.SIGKILL), vpid=vpid, timeout=_KILLED_S)
        for message in client.follow(request, _KILLED_S):
            if "progress" in message:
                vpid = int(message["progress"]["vpid"])
                client.call("signal", signal=int(signal.SIGKILL), vpid=vpid, timeout=_KILLED_S)


class _Pipes:
    """Nothing as its stdin, and pipes for what it writes."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.given = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
        self.open: dict[int, bytearray] = {}
        self.read_so_far = (bytearray(), bytearray())
        stack.callback(self._close)
        for so_far in self.read_so_far:
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(ours, False)
            self.open[ours] = so_far
            self.given.append(theirs)

    def are_given(self) -> None:
        """Ours of its ends are closed, so that the end of what it writes is seen."""
        while self.given:
            os.close(self.given.pop())

    def read(self) -> None:
        """What there is now."""
        for fd, so_far in list(self.open.items()):
            with contextlib.suppress(BlockingIOError):
                while data := os.read(fd, _BITE):
                    so_far += data
                del self.open[fd]
                os.close(fd)

    def _close(self) -> None:
        self.are_given()
        for fd in self.open:
            os.close(fd)

"""Runners of pods that were forked, not started: a nursery (nursery.py) lives as long as pytest does."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from harness import world

_MAX_ANSWER = 4096


class Runner:
    """A process that a nursery forked: as much of a Popen as is used of one."""

    def __init__(self, pid: int, pidfd: int, stdin: int, stdout: int, ended: int) -> None:
        self.pid = pid  # in the nursery's namespace
        self.stdin: IO[str] = os.fdopen(stdin, "w")
        self.stdout: IO[str] = os.fdopen(stdout)
        self._pidfd = pidfd
        self._ended = ended
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit status; below 0 the signal that ended it; None while it runs."""
        if self._code is None and select.select([self._ended], [], [], 0)[0]:
            status = os.read(self._ended, 64)
            assert status, "the nursery has ended, and all its runners with it"
            self._code = os.waitstatus_to_exitcode(int(status))
        return self._code

    def wait(self, timeout: float = world.PATIENCE_S) -> int:
        if self._code is None:
            select.select([self._ended], [], [], timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("a runner", timeout)
        return code

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """When it has ended."""
        for stream in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        os.close(self._pidfd)
        os.close(self._ended)


class Nursery:
    """`around` is a command that runs another one, where runners are to live elsewhere."""

    def __init__(self, *words: str, around: Sequence[str] = ()) -> None:
        self._door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.settimeout(world.PATIENCE_S)
        program = Path(__file__).with_name("nursery.py")
        with theirs:
            self._process = subprocess.Popen(
                [*around, sys.executable, str(program), str(theirs.fileno()), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        world.waited.add(self._process.pid)
        world.staying.add(self._process.pid)
        world.staying_open.add(self._door.fileno())

    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, log: IO[Any], env: Mapping[str, str]) -> Runner:
        """A new runner, whose errors go to `log`."""
        (stdin, writes), (reads, stdout), (ended, ends) = os.pipe(), os.pipe(), os.pipe()
        asked = json.dumps({"fork": dict(env)}).encode()
        try:
            socket.send_fds(self._door, [asked], [stdin, stdout, log.fileno(), ends])
            answer, fds, _, _ = socket.recv_fds(self._door, _MAX_ANSWER, 1)
        finally:
            for fd in (stdin, stdout, ends):
                os.close(fd)
        return Runner(json.loads(answer), fds[0], writes, reads, ended)

    def occupy(self, numbers: Sequence[int]) -> str:
        """In a namespace: others have these numbers now. How far that went, in words."""
        self._door.send(json.dumps({"occupy": list(numbers)}).encode())
        return json.loads(self._door.recv(_MAX_ANSWER))

    def close(self) -> None:
        world.staying_open.discard(self._door.fileno())
        self._door.close()
        self._process.wait(world.PATIENCE_S)
        world.waited.discard(self._process.pid)
        world.staying.discard(self._process.pid)


_nurseries: dict[tuple[str, ...], Nursery] = {}


def nursery(*words: str, around: Sequence[str] = ()) -> Nursery:
    """That of this pytest; a new one where it has died."""
    known = _nurseries.get(words)
    if known is None or not known.alive():
        if known:
            known.close()
        _nurseries[words] = made = Nursery(*words, around=around)
        world.at_end.callback(made.close)
    return _nurseries[words]

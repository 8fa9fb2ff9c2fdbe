"""A program of a pod, or another one of its user, that talks nonsense to the pod's supervisor.

Whatever it says, the supervisor goes on to answer those who make sense, does not grow, and is at
fault in nothing: no answer is an error of our own.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fuzz.mutate import TooLarge, damaged, mutated

from harness.world import PATIENCE_S
from zaptrace import plain
from zaptrace.errors import PodError
from zaptrace.limits import CONTROL
from zaptrace.supervisor import control, starter
from zaptrace.supervisor.starter import Job, Started
from zaptrace.supervisor.stream import Stream

GROWTH = 128 << 20
"""Bytes of memory that a supervisor may be told into."""
_DESCRIPTORS = 100
REQUESTS: list[dict[str, Any]] = [
    {"v": 1, "id": 1, "verb": "status", "processes": True},
    {"v": 1, "id": 2, "verb": "wait"},
    {"v": 1, "id": 3, "verb": "attach", "rows": 24, "cols": 80, "tail": 100},
    {"v": 1, "id": 4, "verb": "freeze"},
    {"v": 1, "id": 5, "verb": "thaw"},
    {"v": 1, "id": 6, "verb": "signal", "signal": 0, "vpid": 2, "group": False},
    {"v": 1, "id": 7, "verb": "signal", "signal": 0, "vpid": None, "group": True},
    {"v": 1, "id": 8, "verb": "stop", "grace": 1.0, "kill": False},
    {"v": 1, "id": 9, "verb": "checkpoint", "to": "image", "then": "resume", "codec": None,
     "rehearsal": True, "outside": "refuse"},
    {"v": 1, "id": 10, "verb": "try"},
    {"v": 1, "id": 11, "verb": "migrate", "to": "tcp://127.0.0.1:1", "options": {"name": "web",
     "key": None, "codec": "zstd", "config": "config", "outside": "close"}},
    {"v": 1, "id": 12, "verb": "scrollback"},
    {"v": 1, "id": 13, "verb": "cancel", "what": 9, "by": "me"},
    {"v": 1, "verb": "input", "data": b"x"},
    {"v": 1, "verb": "resize", "rows": 24, "cols": 80},
    {"v": 1, "verb": "ack", "id": 3, "at": 100},
    {"v": 1, "verb": "detach"},
]  # fmt: skip


class Victim:
    """A pod whose supervisor is talked to; another one when it has ended."""

    def __init__(self, base: Path, place: Path, *, tty: bool) -> None:
        self._base, self._place = base, place
        self._stdio = "tty" if tty else "log"
        self.told: Counter[str] = Counter()
        self._begin()

    def _begin(self) -> None:
        job = Job(
            "launch", str(self._base), "web", argv=["sleep", "600"], stdio=self._stdio,
            cwd=str(self._place),
        )  # fmt: skip
        self._started: Started = starter.start(job)
        self._started.close()
        self._size = self._memory()
        self.told["pods"] += 1

    def _memory(self) -> int:
        words = Path(f"/proc/{self._started.pid}/statm").read_text().split()
        return int(words[1]) * os.sysconf("SC_PAGE_SIZE")  # 0 of one that has just ended

    def close(self) -> None:
        with contextlib.suppress(PodError), self.connect() as client:
            client.call("stop", kill=True, timeout=PATIENCE_S)

    def connect(self) -> control.Client:
        """As who makes sense."""
        return self._started.connect()

    def talk(self, rng: random.Random) -> None:
        """Some messages of one client, or bytes of one that is none; then it still answers."""
        if rng.random() < 0.2:
            self._bytes(rng)
        else:
            self._messages(rng)
        self._look()

    def _messages(self, rng: random.Random) -> None:
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{self._base}/web/control.sock")
        asked = [frame for _ in range(rng.randint(1, 12)) for frame in self._frames(rng)]
        with contextlib.closing(Stream(client)) as stream:
            for frame in asked:
                stream.put(frame)
            until = time.monotonic() + rng.random() * 0.05
            while not stream.ended and time.monotonic() < until:
                select.select([stream], [stream] if stream.unsent else [], [], 0.01)
                stream.flush()
                stream.read()
                while (frame := stream.take()) is not None:
                    self._answer(control.unpack(frame))
        self.told["messages"] += len(asked)

    def _frames(self, rng: random.Random) -> list[bytes]:
        request = rng.choice(REQUESTS)
        with contextlib.suppress(TooLarge):
            changed = mutated(request, rng)
            if _harmless(changed):
                request = changed
        frame = plain.dumps(request)
        if rng.random() < 0.2:
            frame = damaged(frame, rng)
            with contextlib.suppress(ValueError):
                if not _harmless(plain.loads(frame, CONTROL)):
                    frame = b""
        return [b"", frame] if rng.random() < 0.1 else [frame] * (3 if rng.random() < 0.05 else 1)

    def _answer(self, message: dict[str, Any]) -> None:
        if message.get("ok") is False:
            error = message["error"]
            self.told[error["class"]] += 1
            assert error["class"] != "InternalError", error
        self.told["answers"] += 1

    def _bytes(self, rng: random.Random) -> None:
        frame = plain.dumps(rng.choice(REQUESTS[:1]))
        said = len(frame).to_bytes(4, "big") + frame
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(f"{self._base}/web/control.sock")
            client.sendall(damaged(said, rng))
            client.settimeout(0.01 * rng.random())
            client.recv(4096)
        self.told["garbage"] += 1

    def _look(self) -> None:
        """It answers, or has ended as it was told to; and nothing was its own fault."""
        reports = list(Path(tempfile.gettempdir()).glob("zaptrace-fault-*"))
        assert not reports, "\n".join(path.read_text() for path in reports)
        with contextlib.suppress(FileNotFoundError):
            said = (self._base / "web" / "supervisor.log").read_text()
            assert "Traceback" not in said, said
        try:
            with self.connect() as client:
                client.call("status", timeout=PATIENCE_S)
                grown = self._memory() - self._size
                assert grown < GROWTH, f"its supervisor has grown by {grown >> 20} MiB"
                held = len(os.listdir(f"/proc/{self._started.pid}/fd"))
                assert held < _DESCRIPTORS, f"its supervisor holds {held} descriptors"
                return
        except (PodError, OSError):
            with self.connect() as client:
                assert client.past() is not None, client.gone()
        self._begin()


def _harmless(request: Any) -> bool:
    """It has no file written outside, and is not about to go anywhere."""
    to = request.get("to") if isinstance(request, dict) else None
    return not isinstance(to, str) or not (to.startswith(("/", "..")) or "://" in to[1:])

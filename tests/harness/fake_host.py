"""One end of a migration in a process of its own, to be killed: see tests/migration/test_protocol.py.

    fake_host.py DIR serve PORT       says its endpoint, and "idle" after each conversation
    fake_host.py DIR send ENDPOINT    says how it went, as one line of JSON

A copy that runs is a file in DIR/world. Fault points that are passed are written to DIR/events, and
what ZAPTRACE_PLAN ({point: kill, raise or cut}, in JSON) has happen at them, each once; a cut is
asked for at the socket DIR/cutter.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from zaptrace import migration
from zaptrace import server as server_module
from zaptrace.errors import ZaptraceError
from zaptrace.image.image import Image, pack_states
from zaptrace.network.wire import Timeouts
from zaptrace.server import Server

SHORT = Timeouts(connect=5, ping=0.05, silence=5, answer=10, work=20, doubt=1.5, retry=4)


class Plan:
    """Takes the place of log.fault."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.events = os.open(base / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.actions: dict[str, str] = json.loads(os.environ.get("ZAPTRACE_PLAN", "{}"))

    def __call__(self, name: str) -> None:
        point = name.removeprefix("migrate.")
        action = self.actions.pop(point, None)
        if action == "raise":
            self.see(f"{point} raised")
            raise ZaptraceError(f"a fault at {point}")
        self.see(point)
        if action == "cut":
            with socket.socket(socket.AF_UNIX) as cutter:
                cutter.settimeout(10)
                cutter.connect(str(self.base / "cutter"))
                cutter.recv(1)  # closed once it is done
        elif action == "kill":
            self.see(f"{point.partition('.')[0]} killed")
            os.kill(os.getpid(), signal.SIGKILL)

    def see(self, event: str) -> None:
        """Write `event` down."""
        os.write(self.events, f"{event}\n".encode())


class Copy:
    """A restored pod."""

    def __init__(self, base: Path, image: str) -> None:
        Image.open(image).close()
        self.path = base / "world" / f"copy-{os.getpid()}-{time.monotonic_ns()}"

    def thaw(self) -> None:
        """Run."""
        self.path.touch()

    def discard(self) -> None:
        """Go away."""
        self.path.unlink(missing_ok=True)


class Pod:
    """A pod."""

    name = "web"

    def __init__(self, base: Path) -> None:
        self.path = base / "world" / "source"

    def capture(self, sink: Any) -> None:
        """Freeze, write, commit."""
        self.path.unlink()
        with sink.part("state") as part:
            part.write(pack_states("clock", [{"offset": 7}]))
        with sink.part("pages-2") as part:
            part.write(os.urandom(2 << 20))
        sink.commit({"created": 1.0, "host": {}, "pod": {"name": self.name}})

    @property
    def frozen(self) -> bool:
        """True when it does not run."""
        return not self.path.exists()

    def thaw(self) -> None:
        """Run on."""
        self.path.touch()

    def kill(self) -> None:
        """End."""
        self.path.unlink(missing_ok=True)

    def gone(self) -> str | None:
        """That it has ended."""
        return None if self.path.exists() else "the pod has ended"


class Destination(migration.Destination):
    """One that says when a conversation is over."""

    def converse(self, channel: Any) -> None:
        """See there."""
        try:
            super().converse(channel)
        finally:
            print("idle", flush=True)


def serve(base: Path, port: str) -> None:
    """Until SIGTERM."""
    server_module.Destination = Destination  # type: ignore[misc]
    stop = server_module.Stop()
    signal.signal(signal.SIGTERM, stop.say)
    with Server(
        f"tcp://127.0.0.1:{port}",
        spawn=lambda image, name, _: Copy(base, image),
        config=base / "config",
        staging=base / "staging",
        timeouts=SHORT,
    ) as server:
        print(server.endpoint, flush=True)
        stop.wait()


def send(base: Path, endpoint: str) -> None:
    """Migrate the pod of this world."""
    pod = Pod(base)
    result: dict[str, Any] = {"error": None}
    try:
        migration.send(
            pod, endpoint, capture=pod.capture, facts={}, config=base / "config", timeouts=SHORT
        )
    except ZaptraceError as e:
        result = {"error": e.what, "changed": e.changed, "do": e.do}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    if "ZAPTRACE_PLAN" in os.environ:
        plan = Plan(Path(sys.argv[1]))
        for half in (migration.source, migration.destination):
            half.fault = plan  # type: ignore[assignment]
    {"serve": serve, "send": send}[sys.argv[2]](Path(sys.argv[1]), sys.argv[3])

"""Two hosts and a relay between them, for the tests of the wire and of migrations.

The pods are fakes that only know whether they run; everything between them is real: the sockets,
the keys, the images.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from harness.relay import Relay
from zaptrace import migration
from zaptrace.image.image import Image, pack_states
from zaptrace.network.wire import Timeouts
from zaptrace.server import Server

SHORT = Timeouts(connect=5, ping=0.05, silence=5, answer=10, work=20, doubt=0.6, retry=1.2)
PAGES = os.urandom(3 << 20)


class World:
    """Who runs. Two at a time is what must never be."""

    def __init__(self) -> None:
        self.running = {"source"}
        self.lock = threading.Lock()
        self.broken: list[str] = []

    def run(self, who: str) -> None:
        """`who` runs from now on."""
        with self.lock:
            self.running.add(who)
            if len(self.running) > 1:
                self.broken.append(f"two copies run: {self.running}")

    def stop(self, who: str) -> None:
        """`who` does not run any more."""
        with self.lock:
            self.running.discard(who)


class FakePod:
    """A pod at the source."""

    name = "web"

    def __init__(self, world: World, pages: bytes = PAGES, fail: Exception | None = None) -> None:
        self.world = world
        self.pages = pages
        self.fail = fail
        self.killed = False

    def capture(self, sink: Any) -> None:
        """As checkpoint(pod, sink, then="hold") does."""
        self.world.stop("source")
        try:
            with sink.part("pages-2") as pages, sink.part("state") as state:
                pages.write(self.pages[:-100])
                state.write(pack_states("clock", [{"offset": 7}]))
                if self.fail:
                    raise self.fail
                pages.write(self.pages[-100:])
            with sink.part("empty"):
                pass
            sink.commit({"created": 1.0, "host": {}, "pod": {"name": self.name}})
        except BaseException:
            sink.abort()
            raise

    @property
    def frozen(self) -> bool:
        """True when it does not run."""
        return "source" not in self.world.running

    def thaw(self) -> None:
        """Run on, unless it is dead."""
        assert not self.killed, "a dead pod is thawed"
        self.world.run("source")

    def kill(self) -> None:
        """End."""
        self.killed = True
        self.world.stop("source")

    def gone(self) -> str | None:
        """That it has ended."""
        return "the pod has ended" if self.killed else None


class FakeCopy:
    """A restored pod at the destination."""

    made = 0

    def __init__(self, world: World, image: str, name: str) -> None:
        with Image.open(image) as opened:
            assert opened.read("pages-2") == PAGES
            assert opened.states("clock") == [{"offset": 7}]
        FakeCopy.made += 1
        self.world = world
        self.who = f"{name}, copy {FakeCopy.made}"
        self.discarded = False

    def thaw(self) -> None:
        """Run."""
        assert not self.discarded
        self.world.run(self.who)

    def discard(self) -> None:
        """Go away."""
        self.discarded = True
        self.world.stop(self.who)


class Hosts:
    """A source and a destination with a relay between them."""

    def __init__(self, tmp_path: Path, **server: Any) -> None:
        self.world = World()
        self.config = tmp_path / "config"
        self.staging = tmp_path / "staging"
        self.server = Server(
            "tcp://127.0.0.1:*",
            spawn=server.pop("spawn", lambda image, name, _: FakeCopy(self.world, image, name)),
            config=self.config,
            staging=self.staging,
            timeouts=SHORT,
            **server,
        )
        self.relay = Relay(self.server.endpoint)

    def send(self, pod: FakePod | None = None, **options: Any) -> migration.Report:
        """Migrate `pod`."""
        pod = pod or FakePod(self.world)
        arguments: dict[str, Any] = {
            "capture": pod.capture,
            "facts": {"bytes": len(PAGES)},
            "config": self.config,
            "timeouts": SHORT,
        }
        return migration.send(pod, self.relay.endpoint, **(arguments | options))

    def finish(self) -> None:
        """Wait until nobody at the destination waits for anything."""
        deadline = time.monotonic() + 30
        while self.server._listener._talking and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not self.server._listener._talking

    def images(self) -> list[str]:
        """The images that are still staged."""
        return [str(p) for p in self.staging.glob("*/image")]

    def close(self) -> None:
        """End."""
        self.server.close()
        self.relay.close()

"""The source's half of a migration; the whole hand-over is drawn in __init__.py."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from ..cancel import Cancel
from ..errors import WireError, ZaptraceError
from ..image.manifest import FORMAT, Part, check, check_part_name
from ..image.sink import PartWriter, Prove, Sink
from ..log import fault, log
from ..network import wire
from ..network.keys import Keys
from ..network.wire import Channel, Timeouts

FAULT_POINTS = (
    "migrate.source.connected",
    "migrate.source.offered",
    "migrate.source.accepted",
    "migrate.source.frozen",
    "migrate.source.part_sent",
    "migrate.source.sent",
    "migrate.source.staged",
    "migrate.source.whole",
    "migrate.source.committed",
    "migrate.source.go_said",
    "migrate.source.live",
)
"""In the order in which a migration passes them."""

Progress = Callable[[dict[str, Any]], None]
"""Called with {"step": "send" or "restore", "done": bytes, "total": bytes or None}.

An exception that it raises before the hand-over is committed gives the migration up."""
Call = Callable[[], AbstractContextManager[Channel]]

_REPORT_EVERY_S = 0.25


class LeavingPod(Protocol):
    """What the source needs of a pod; pod.Pod has it."""

    name: str

    @property
    def frozen(self) -> bool:
        """True when it does not run; if so before a migration that fails, then so after it."""

    def thaw(self) -> None:
        """Let it go on; does nothing when it runs."""

    def kill(self) -> None:
        """End it; returns when nothing of it is left."""

    def gone(self) -> str | None:
        """That it has ended meanwhile, in words; None: it lives."""


@dataclass(frozen=True)
class Report:
    """How a migration went."""

    id: str
    to: str
    name: str
    """The pod's name over there."""
    bytes: int
    """Sent, after compression."""
    parts: int
    downtime_s: float
    """From the freeze to the destination's word that it runs."""
    total_s: float


def send(
    pod: LeavingPod,
    endpoint: str,
    *,
    capture: Callable[[Sink], object] | None = None,
    facts: dict[str, Any] | None = None,
    config: str | os.PathLike[str] | None = None,
    key: str | None = None,
    name: str | None = None,
    codec: str | None = None,
    progress: Progress | None = None,
    timeouts: Timeouts | None = None,
    cancel: Cancel | None = None,
) -> Report:
    """Move `pod` to the host server at `endpoint` (tcp://host:port), where it is called `name`.

    capture  freezes the pod, writes it to the sink, commits, and leaves it frozen; by default
             `checkpoint(pod, sink, then="hold")`
    facts    what the destination has to judge before anything is frozen (plain data); "bytes", an
             estimate of the size, also serves to look for space and to show progress
    config   the directory with our keys, see network/keys.py
    key      text of the server's key, when the user gave it; remembered once it has proven right
    cancel   gives it up, until it is committed

    Returns when the pod runs there and is gone here. On any error it is here as it was, unless the
    error says otherwise in `changed`: see the table in the module's docstring.
    """
    keys = Keys(config)
    timeouts = timeouts or Timeouts()
    facts = facts or {}
    server_key = keys.server_key(endpoint, key)

    def call(check: Callable[[], None] = lambda: None) -> AbstractContextManager[Channel]:
        return wire.connect(
            endpoint,
            identity=keys.identity,
            server_key=server_key,
            timeouts=timeouts,
            check=check,
        )

    began = time.monotonic()
    cancel = cancel or Cancel()
    departure = _Departure(pod, call, name or pod.name, codec, progress, timeouts)
    with contextlib.ExitStack() as stack:
        with departure.saying_that_it_stays():
            channel = stack.enter_context(call(cancel.check))
            stack.enter_context(cancel.waking(lambda: channel.interrupt(cancel.error())))
            if key is not None:
                keys.remember(endpoint, server_key)
            fault("migrate.source.connected")
            departure.offer(channel, facts)
        sink = departure.transfer(
            channel, capture or _checkpoint_of(pod, cancel), facts.get("bytes"), cancel
        )
        departure.commit(channel)
    ended = time.monotonic()
    return Report(
        id=departure.id,
        to=endpoint,
        name=departure.name,
        bytes=sink.sent,
        parts=len(sink.parts),
        downtime_s=ended - sink.frozen_at,
        total_s=ended - began,
    )


def _checkpoint_of(pod: LeavingPod, cancel: Cancel) -> Callable[[Sink], object]:
    from ..pod.checkpoint import checkpoint  # here, because a host server needs no tracer
    from ..pod.pod import Pod

    assert isinstance(pod, Pod), "another kind of pod comes with a capture of its own"
    return lambda sink: checkpoint(pod, sink, then="hold", cancel=cancel)


class _Departure:
    """The source's half of one migration."""

    def __init__(
        self,
        pod: LeavingPod,
        call: Call,
        name: str,
        codec: str | None,
        progress: Progress | None,
        timeouts: Timeouts,
    ) -> None:
        self.id = secrets.token_hex(16)
        self.pod = pod
        self.was_frozen = pod.frozen
        self.name = name
        self._call = call
        self._codec = codec
        self._progress = progress or _no_progress
        self._timeouts = timeouts
        self._image = ""  # where the destination keeps what it got

    def offer(self, channel: Channel, facts: dict[str, Any]) -> None:
        """Ask whether the pod can live there; the pod runs meanwhile."""
        channel.send("offer", id=self.id, name=self.name, facts=facts)
        fault("migrate.source.offered")
        channel.recv("accept", timeout=self._timeouts.work)
        fault("migrate.source.accepted")

    def transfer(
        self,
        channel: Channel,
        capture: Callable[[Sink], object],
        total: int | None,
        cancel: Cancel,
    ) -> WireSink:
        """Freeze the pod and send it, until the destination is whole. Thaws it on any failure."""
        sink = WireSink(channel, self._codec, self._progress, total)
        with self._staying_on_failure(channel, sink):
            capture(sink)
            if not sink.committed:
                raise ValueError("the capture committed nothing")
            self._progress({"step": "restore", "done": sink.sent, "total": sink.sent})
            self._image = channel.recv("whole", timeout=self._timeouts.work).get("image", str)
            fault("migrate.source.whole")
            cancel.commit()
        return sink

    def commit(self, channel: Channel) -> None:
        """Kill our copy, and let theirs go. From here on there is no way back."""
        try:
            self.pod.kill()
        except ZaptraceError as e:
            # It may live in part: theirs must not run, and ours cannot. Silence keeps the image.
            e.changed = f"the pod may be gone; its image is kept: {self._image} on {channel.peer}"
            raise
        try:
            fault("migrate.source.committed")
            channel.send("go", id=self.id)
            fault("migrate.source.go_said")
            channel.recv("live", timeout=self._timeouts.work)
            fault("migrate.source.live")
        except ZaptraceError as e:
            log.warning("cannot tell %s to go, trying again: %s", channel.peer, e.what)
            self._insist(channel.peer, e)

    def _insist(self, peer: str, last: ZaptraceError) -> None:
        until = time.monotonic() + self._timeouts.retry
        while time.monotonic() < until:
            try:
                self._resolve("go")
                return
            except ZaptraceError as e:
                last = e
                time.sleep(min(self._timeouts.ping, max(0.0, until - time.monotonic())))
        raise WireError(
            f"pod {self.name} was handed over to {peer}, which does not say that it runs",
            needed="its word that the pod goes on there",
            found=last.what,
            do=f"on that host: zaptrace ps; if it is not there: zaptrace restore {self._image}",
            changed=f"the pod ended here; its image is kept: {self._image} on {peer}",
        ) from last

    @contextlib.contextmanager
    def _staying_on_failure(self, channel: Channel, sink: WireSink) -> Iterator[None]:
        """Whatever fails inside: the pod is as it was, and the error and the destination know."""
        try:
            yield
        except BaseException as e:
            self._stay(e)
            self._take_back(channel, sink)
            raise

    @contextlib.contextmanager
    def saying_that_it_stays(self) -> Iterator[None]:
        """The same while the destination has nothing of it."""
        try:
            yield
        except BaseException as e:
            self._stay(e)
            raise

    def _stay(self, error: BaseException) -> None:
        try:
            if not self.was_frozen:
                self.pod.thaw()
            holds = "is still frozen" if self.was_frozen else "runs on"
            changed = self.pod.gone() or f"nothing; the pod {holds} here"
        except ZaptraceError as failed:
            changed = f"the pod could not be thawed: {failed.what}"
        if isinstance(error, ZaptraceError):
            error.changed = changed

    def _take_back(self, channel: Channel, sink: WireSink) -> None:
        """Spare the destination the doubt, when it may be whole. Our pod runs already."""
        if not sink.committed:
            return  # it is not whole; it sees us leave
        channel.interrupt(None)
        with contextlib.suppress(ZaptraceError):
            if channel.gone:
                self._resolve("abort")
            else:
                channel.send("abort")

    def _resolve(self, decision: str) -> None:
        with self._call() as channel:
            channel.send("resolve", id=self.id, decision=decision)
            if decision == "go":
                channel.recv("live", timeout=self._timeouts.work)
            else:
                channel.recv("aborted")


class WireSink:
    """A Sink whose parts go to the other side of a channel; `commit` returns when it has them all.

    Memory: a bite for each open part, and the channel's window.
    """

    def __init__(
        self,
        channel: Channel,
        codec: str | None = None,
        progress: Progress | None = None,
        total: int | None = None,
    ) -> None:
        self.parts: dict[str, Part] = {}
        self.sent = 0
        self.frozen_at = time.monotonic()
        self.committed = False
        """True from the moment that the destination may have everything."""
        self._channel = channel
        self._codec = codec
        self._progress = progress or _no_progress
        self._progress_at = 0.0
        self._total = total
        self._numbers = 0
        self._over = False

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[PartWriter]:
        """A new part; see sink.Sink."""
        check_part_name(name)
        if self._over:
            raise ValueError("this sink was committed or aborted")
        if name in self.parts:
            raise ValueError(f"part {name} is there already")
        if self._numbers == 0:
            fault("migrate.source.frozen")
        number, self._numbers = self._numbers, self._numbers + 1
        self._channel.send("part", n=number, name=name)
        buffer = bytearray()

        def emit(view: memoryview) -> None:
            buffer.extend(view)
            while len(buffer) >= wire.DATA:
                with memoryview(buffer) as filled:
                    data = bytes(filled[: wire.DATA])
                del buffer[: wire.DATA]
                self._send(number, data)

        writer = PartWriter(name, self._codec, emit)
        yield writer
        self.parts[name] = writer.finish()
        if buffer:
            self._send(number, bytes(buffer))
        self._channel.send("end", n=number)
        fault("migrate.source.part_sent")

    def commit(self, manifest: dict[str, Any], prove: Prove | None = None) -> None:
        """Send the manifest; returns when the other side has all of it, unchanged, on disk.

        There is nothing to `prove` here: the destination restores it before we let go.
        """
        self._over = True
        table = {name: part.to_dict() for name, part in self.parts.items()}
        manifest = check({**manifest, "format": FORMAT, "parts": table})
        self.committed = True
        self._channel.send("manifest", manifest=manifest)
        fault("migrate.source.sent")
        self._channel.recv("staged", timeout=self._channel.timeouts.work)
        fault("migrate.source.staged")

    def abort(self) -> None:
        """No more is sent. The other side drops what it has when the conversation ends."""
        self._over = True

    def _send(self, number: int, data: bytes) -> None:
        self._channel.send("data", data, n=number)
        self.sent += len(data)
        if (now := time.monotonic()) - self._progress_at >= _REPORT_EVERY_S:
            self._progress_at = now
            self._progress({"step": "send", "done": self.sent, "total": self._total})


def _no_progress(message: dict[str, Any]) -> None:
    pass

"""Moving a pod to another host: a hand-over in two phases, after which exactly one copy runs.

    source                                           destination
    ──────                                           ───────────
    running    offer {id, name, facts} ────────────►
               ◄───────────── error, with reasons    OFFERED    check(facts): can it live here?
               ◄─────────────────────────── accept   RECEIVING
    FROZEN     part {n, name} ─────────────────────►            a DirectorySink, below the
               data {n} + bytes ───────────────────►            runtime directory
               end {n} ────────────────────────────►
    SENT       manifest {manifest} ────────────────►            each part's blake3 is compared
               ◄─────────────────────────── staged   STAGED     on disk, synced
               ◄─────────────────── whole {image}    WHOLE      read back, verified, restored;
                                                                not one step run
    COMMITTED  (its copy is killed)
               go {id} ────────────────────────────►            noted: thawing
               ◄───────────────────────────── live   LIVE       thawed; the image is removed
    (ended)

The source alone decides: before it kills its copy the answer to any trouble is to thaw it, from
then on it is to get "go" through. It may come on a new connection: `settle {id, decision}` is
answered with `live` or `aborted`, as often as it is asked.

    what fails                     source                   destination               runs
    ─────────────────────────────  ───────────────────────  ────────────────────────  ───────────
    anything, before WHOLE is said thaws                    removes copy and image    source
    anything, after, before        thaws, says abort        on abort: removes both;   source
    COMMITTED                                               silence for `doubt`: (*)
    the source dies before         (its pod dies with it)   as above                  none, (*)
    COMMITTED
    connection, after COMMITTED    says go for `retry`      waits, is thawed by it    destination
    destination dies after         says go for `retry`;     restarted in time: makes  destination
    COMMITTED, before LIVE         then an error that       a new copy of the image
                                   names the image          otherwise: (*)            none, (*)
    source dies after COMMITTED    -                        waits `doubt`: (*)        none, (*)
    destination dies while it      as above                 restarted: cannot know    one or none,
    thaws                                                   whether it ran: (*)       (*)

(*) the frozen copy, if any, is removed and the staged image is kept, and named in the log and in
the error: `zaptrace restore` makes the pod of it, once somebody has seen that it runs nowhere else.

What the destination knows is written down (`record`, synced) before it is said or done, so a server
that was killed knows after its restart: nothing noted: remove what came; "whole": nothing ran, a go
may be obeyed; "thawing": perhaps it ran; "live": it did.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import wire
from .errors import PeerGone, PodError, RestoreError, WireError, ZaptraceError
from .keys import Keys
from .log import fault, log
from .manifest import FORMAT, Part, check, check_part_name, parts_of
from .sink import DirectorySink, PartWriter, Sink
from .wire import Channel, Timeouts

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
    "migrate.destination.offered",
    "migrate.destination.accepted",
    "migrate.destination.receiving",
    "migrate.destination.received",
    "migrate.destination.staged",
    "migrate.destination.whole",
    "migrate.destination.whole_said",
    "migrate.destination.go_heard",
    "migrate.destination.thawing",
    "migrate.destination.thawed",
    "migrate.destination.live",
)
"""Every fault point here, in the order in which a migration passes them on each side."""

Progress = Callable[[dict[str, Any]], None]
"""Called with {"step": "send" or "restore", "done": bytes, "total": bytes or None}.

An exception that it raises before the hand-over is committed gives the migration up."""
Call = Callable[[], contextlib.AbstractContextManager[Channel]]

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_REPORT_EVERY_S = 0.25
_RECORDS_KEPT_S = 24 * 3600


# The source


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
) -> Report:
    """Move `pod` to the host server at `endpoint` (tcp://host:port), where it is called `name`.

    capture  freezes the pod, writes it to the sink, commits, and leaves it frozen; by default
             `checkpoint(pod, sink, then="hold")`
    facts    what the destination has to judge before anything is frozen (plain data); "bytes", an
             estimate of the size, also serves to look for space and to show progress
    config   the directory with our keys, see keys.py
    key      text of the server's key, when the user gave it; remembered once it has proven right

    Returns when the pod runs there and is gone here. On any error it is here as it was, unless the
    error says otherwise in `changed`: see the table in the module's docstring.
    """
    keys = Keys(config)
    timeouts = timeouts or Timeouts()
    facts = facts or {}
    server_key = keys.server_key(endpoint, key)

    def call() -> contextlib.AbstractContextManager[Channel]:
        return wire.connect(
            endpoint, identity=keys.identity, server_key=server_key, timeouts=timeouts
        )

    began = time.monotonic()
    departure = _Departure(pod, call, name or pod.name, codec, progress, timeouts)
    with contextlib.ExitStack() as stack:
        with _saying_that_it_stays(departure.was_frozen):
            channel = stack.enter_context(call())
            if key is not None:
                keys.remember(endpoint, server_key)
            fault("migrate.source.connected")
            departure.offer(channel, facts)
        sink = departure.transfer(channel, capture or _checkpoint_of(pod), facts.get("bytes"))
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


def _checkpoint_of(pod: Any) -> Callable[[Sink], object]:
    from .checkpoint import checkpoint  # here, because a host server needs no tracer

    return lambda sink: checkpoint(pod, sink, then="hold")


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
        self, channel: Channel, capture: Callable[[Sink], object], total: int | None
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
                self._settle("go")
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
            with _saying_that_it_stays(self.was_frozen):
                yield
        except BaseException as e:
            try:
                if not self.was_frozen:
                    self.pod.thaw()
            except ZaptraceError as failed:
                if isinstance(e, ZaptraceError):
                    e.changed = f"the pod could not be thawed: {failed.what}"
            self._take_back(channel, sink)
            raise

    def _take_back(self, channel: Channel, sink: WireSink) -> None:
        """Spare the destination the doubt, when it may be whole. Our pod runs already."""
        if not sink.committed:
            return  # it is not whole; it sees us leave
        with contextlib.suppress(ZaptraceError):
            if channel.gone:
                self._settle("abort")
            else:
                channel.send("abort")

    def _settle(self, decision: str) -> None:
        with self._call() as channel:
            channel.send("settle", id=self.id, decision=decision)
            channel.recv("live" if decision == "go" else "aborted", timeout=self._timeouts.work)


@contextlib.contextmanager
def _saying_that_it_stays(was_frozen: bool) -> Iterator[None]:
    try:
        yield
    except ZaptraceError as e:
        e.changed = f"nothing; the pod {'is still frozen' if was_frozen else 'runs on'} here"
        raise


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
            while len(buffer) >= wire.MAX_DATA:
                with memoryview(buffer) as filled:
                    data = bytes(filled[: wire.MAX_DATA])
                del buffer[: wire.MAX_DATA]
                self._send(number, data)

        writer = PartWriter(name, self._codec, emit)
        yield writer
        self.parts[name] = writer.finish()
        if buffer:
            self._send(number, bytes(buffer))
        self._channel.send("end", n=number)
        fault("migrate.source.part_sent")

    def commit(self, manifest: dict[str, Any]) -> None:
        """Send the manifest; returns when the other side has all of it, unchanged, on disk."""
        self._over = True
        table = {name: part.to_plain() for name, part in self.parts.items()}
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


# The destination


class Copy(Protocol):
    """A restored pod that has not run yet. It must die with the host server until it is thawed."""

    def thaw(self) -> None:
        """Let it run, on its own from now on."""

    def discard(self) -> None:
        """Remove all of it; does nothing when nothing is left."""


Spawn = Callable[[str, str], Copy]
"""spawn(image directory, pod name): verify the image (Image.open) and restore it, frozen. Returns
when it is whole, or raises why it cannot be, and leaves nothing of it."""
Check = Callable[[dict[str, Any]], list[str]]
"""check(facts) -> reasons why a pod with these facts ("name" among them) cannot live here."""


class _Arrival:
    """A pod on its way in; `state` as in the table of the module's docstring."""

    def __init__(self, directory: Path, id: str, name: str, state: str, peer: str = "") -> None:
        self.directory = directory
        self.id = id
        self.name = name
        self.peer = peer
        self.state = state  # receiving, whole, kept, unsure, live, aborted
        self.copy: Copy | None = None
        self.changed = threading.Condition(threading.RLock())

    @property
    def image(self) -> str:
        """The directory of the staged image."""
        return str(self.directory / "image")

    def note(self, state: str) -> None:
        """Write down, and sync, what a restarted server has to know."""
        beside = self.directory / ".record"
        with open(beside, "w") as f:
            json.dump({"id": self.id, "name": self.name, "state": state, "from": self.peer}, f)
            f.flush()
            os.fsync(f.fileno())
        beside.rename(self.directory / "record")
        fd = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def drop_copy(self) -> None:
        """Remove the frozen copy, if there is one."""
        copy, self.copy = self.copy, None
        if copy is not None:
            try:
                copy.discard()
            except ZaptraceError as e:
                log.error("cannot discard the copy of pod %s: %s", self.name, e)

    def turn(self, state: str) -> None:
        """Another state; wakes who waits for it."""
        self.state = state
        self.changed.notify_all()


class Destination:
    """The receiving half for any number of migrations, below the directory `staging`.

    `converse` is to be called with each channel of a listener, in a thread of its own.
    """

    def __init__(
        self,
        staging: str | os.PathLike[str],
        spawn: Spawn,
        check: Check | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._staging = Path(staging)
        self._spawn = spawn
        self._check = check or (lambda facts: [])
        self._timeouts = timeouts or Timeouts()
        self._lock = threading.Lock()  # for the table; after an arrival's condition, never before
        self._arrivals: dict[str, _Arrival] = {}
        self._closing = False
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._recover()

    def converse(self, channel: Channel) -> None:
        """One conversation, from its first message to its end."""
        message = channel.recv("offer", "settle")
        id = message.get("id", str)
        if not _ID.fullmatch(id):
            raise WireError("the id of this migration is none", found=repr(id[:40]))
        if message.kind == "offer":
            self._receive(channel, id, message.get("name", str), message.get("facts", dict))
        else:
            channel.send(self._settled(id, message.get("decision", str)))

    def kept(self) -> list[str]:
        """The staged images that wait for somebody to decide about them."""
        with self._lock:
            return [a.image for a in self._arrivals.values() if a.state in ("kept", "unsure")]

    def close(self) -> None:
        """Stop waiting for decisions: frozen copies go, their images stay."""
        with self._lock:
            self._closing = True
            arrivals = list(self._arrivals.values())
        for arrival in arrivals:
            with arrival.changed:
                arrival.changed.notify_all()

    # Phase one: take it in

    def _receive(self, channel: Channel, id: str, name: str, facts: dict[str, Any]) -> None:
        fault("migrate.destination.offered")
        self._judge(facts | {"name": name})
        arrival = self._begin(id, name, channel.peer)
        try:
            channel.send("accept")
            fault("migrate.destination.accepted")
            self._stage(channel, arrival)
            self._restore(channel, arrival)
        except BaseException:
            self._remove(arrival)
            raise
        self._await_decision(channel, arrival)

    def _judge(self, facts: dict[str, Any]) -> None:
        reasons = list(self._check(facts))
        needed, free = facts.get("bytes"), shutil.disk_usage(self._staging).free
        if type(needed) is int and needed > free:
            reasons.append(f"{needed} bytes of space in {self._staging}: {free} are free")
        if reasons:
            raise RestoreError(
                f"pod {facts['name']} cannot live on that host",
                stage="CLAIM",
                needed="a host that can hold it",
                found="\n           ".join(reasons),
                do="see to these, or choose another host",
            )

    def _begin(self, id: str, name: str, peer: str) -> _Arrival:
        arrival = _Arrival(self._staging / id, id, name, "receiving", peer)
        with self._lock:
            if id in self._arrivals:
                raise PodError(f"migration {id} is known here already")
            self._arrivals[id] = arrival
        arrival.directory.mkdir(mode=0o700)
        return arrival

    def _stage(self, channel: Channel, arrival: _Arrival) -> None:
        with DirectorySink(arrival.image) as sink, contextlib.ExitStack() as writing:
            writers: dict[int, tuple[PartWriter, contextlib.ExitStack]] = {}
            while True:
                message = channel.recv(
                    "part", "data", "end", "manifest", timeout=self._timeouts.work
                )
                if message.kind == "manifest":
                    break
                number = message.get("n", int)
                try:
                    if message.kind == "part":
                        fault("migrate.destination.receiving")
                        stack = writing.enter_context(contextlib.ExitStack())
                        writer = stack.enter_context(sink.stored_part(message.get("name", str)))
                        if number in writers:
                            raise ValueError(f"part {number} is there already")
                        writers[number] = writer, stack
                    elif message.kind == "data":
                        writers[number][0].write(message.data)
                    else:
                        writers.pop(number)[1].close()
                except (ValueError, KeyError) as e:
                    raise WireError(
                        "the other side sends parts that make no sense", found=str(e)
                    ) from e
            if writers:
                raise WireError("the other side ends in the middle of a part")
            fault("migrate.destination.received")
            manifest = check(message.get("manifest", dict))
            sink.commit_parts(manifest, parts_of(manifest))
        channel.send("staged")
        fault("migrate.destination.staged")

    def _restore(self, channel: Channel, arrival: _Arrival) -> None:
        arrival.copy = self._spawn(arrival.image, arrival.name)
        fault("migrate.destination.whole")
        with arrival.changed:
            if arrival.state != "receiving":
                raise PeerGone(f"{channel.peer} took pod {arrival.name} back")
            arrival.note("whole")
            # If this fails it was not said, and the source cannot commit.
            channel.send("whole", image=arrival.image)
            arrival.turn("whole")

    def _remove(self, arrival: _Arrival) -> None:
        """As if it had never come."""
        with arrival.changed:
            arrival.drop_copy()
            # The record first: what is left without one is removed by the next server.
            with contextlib.suppress(OSError):
                (arrival.directory / "record").unlink(missing_ok=True)
            shutil.rmtree(arrival.directory, ignore_errors=True)
            arrival.turn("aborted")
        with self._lock:
            self._arrivals.pop(arrival.id, None)

    # Phase two: the source decides

    def _await_decision(self, channel: Channel, arrival: _Arrival) -> None:
        try:
            fault("migrate.destination.whole_said")
            message = channel.recv("go", "abort", timeout=self._timeouts.doubt)
            channel.send(self._decide(arrival, message.kind))
        except Exception as e:
            if not isinstance(e, ZaptraceError):
                log.exception("cannot decide about pod %s", arrival.name)
                e = ZaptraceError("the server failed", found=repr(e), do="see its log")
            channel.fail(e)
            self._doubt(arrival)

    def _doubt(self, arrival: _Arrival) -> None:
        """The source fell silent. Wait for another connection of it; else keep the image."""
        with arrival.changed:
            arrival.changed.wait_for(
                lambda: arrival.state != "whole" or self._closing, self._timeouts.doubt
            )
            if arrival.state != "whole":
                return
            arrival.drop_copy()
            arrival.turn("kept")
        log.warning(
            "nobody said what is to become of pod %s from %s; its image is kept: %s",
            arrival.name,
            arrival.peer,
            arrival.image,
        )

    def _settled(self, id: str, decision: str) -> str:
        with self._lock:
            arrival = self._arrivals.get(id)
        if arrival is not None:
            return self._decide(arrival, decision)
        if decision == "abort":
            return "aborted"
        raise PodError(f"migration {id} is not known here", found="no staged image of it")

    def _decide(self, arrival: _Arrival, decision: str) -> str:
        with arrival.changed:
            if decision == "go":
                return self._go(arrival)
            if arrival.state == "live":
                raise PodError(f"pod {arrival.name} runs already", do="zaptrace ps")
            if arrival.state == "receiving":
                arrival.turn("aborted")  # whoever receives it sees that, and removes it
            else:
                self._remove(arrival)
            return "aborted"

    def _go(self, arrival: _Arrival) -> str:
        """With the arrival locked: make it run, if it does not; "live"."""
        if arrival.state == "live":
            return self._settle_in(arrival)
        fault("migrate.destination.go_heard")
        again = arrival.state == "kept" and not self._closing
        if again:
            arrival.copy = self._spawn(arrival.image, arrival.name)
        elif arrival.state != "whole" or arrival.copy is None:
            raise PodError(
                f"pod {arrival.name} cannot go here: it is {arrival.state}",
                found=f"its image is kept: {arrival.image}",
                do=f"zaptrace ps; if it is not there: zaptrace restore {arrival.image}",
            )
        try:
            arrival.note("thawing")
            fault("migrate.destination.thawing")
        except BaseException:
            arrival.note("whole")
            if again:  # nobody waits for it as for the first copy
                arrival.drop_copy()
            raise
        try:
            arrival.copy.thaw()
        except BaseException:
            arrival.turn("unsure")
            raise
        arrival.turn("live")
        fault("migrate.destination.thawed")
        return self._settle_in(arrival)

    def _settle_in(self, arrival: _Arrival) -> str:
        arrival.copy = None
        arrival.note("live")
        shutil.rmtree(arrival.image, ignore_errors=True)
        fault("migrate.destination.live")
        return "live"

    # After a restart

    def _recover(self) -> None:
        for directory in sorted(self._staging.iterdir()):
            if not _ID.fullmatch(directory.name):
                continue
            record = _read_record(directory)
            state = {"whole": "kept", "thawing": "unsure", "live": "live"}.get(record["state"])
            if state is None or (state == "live" and record["age"] > _RECORDS_KEPT_S):
                shutil.rmtree(directory, ignore_errors=True)
                continue
            arrival = _Arrival(directory, directory.name, record["name"], state, record["from"])
            self._arrivals[arrival.id] = arrival
            if state == "live":
                shutil.rmtree(arrival.image, ignore_errors=True)
            else:
                log.warning("the image of pod %s is still kept: %s", arrival.name, arrival.image)


def _read_record(directory: Path) -> dict[str, Any]:
    try:
        path = directory / "record"
        record = json.loads(path.read_text())
        return {
            "state": str(record["state"]),
            "name": str(record["name"]),
            "from": str(record["from"]),
            "age": time.time() - path.stat().st_mtime,
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"state": "receiving"}

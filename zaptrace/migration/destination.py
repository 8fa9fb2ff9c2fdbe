"""The destination's half of a migration; the whole hand-over is drawn in __init__.py."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from ..errors import HostError, PeerGone, PodError, RestoreError, WireError, ZaptraceError
from ..image.manifest import check, parts_of
from ..image.sink import DirectorySink, PartWriter
from ..linux import private, records
from ..linux.scratch import remove_tree
from ..log import fault, log, unforeseen
from ..network.wire import Channel, Timeouts

FAULT_POINTS = (
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
"""In the order in which a migration passes them."""

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_RECORDS_KEPT_S = 24 * 3600
_RECORD = {"state": records.is_text, "name": records.is_text, "from": records.is_text}


class Copy(Protocol):
    """A restored pod that has not run yet. It must die with the host server until it is thawed."""

    def thaw(self) -> None:
        """Let it run, on its own from now on."""

    def discard(self) -> None:
        """Remove all of it; does nothing when nothing is left."""


Spawn = Callable[[str, str, Callable[[], bool]], Copy]
"""spawn(image directory, pod name, gives_up): verify the image (Image.open) and restore it, frozen. Returns
when it is whole, or raises why it cannot be, and leaves nothing of it. `gives_up` is asked now and
then, and True when nobody wants it any more."""
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
        """Write down, and sync, what a restarted server has to know. HostError if that cannot be."""
        with self._noting():
            if not self._beside(state).exists():
                self._write(state)
            self._beside(state).rename(self.directory / "record")
            fd = os.open(self.directory, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def have_room_to_note(self) -> None:
        """All that will be noted is there already, for when there is no room any more."""
        with self._noting():
            for state in ("whole", "thawing", "live"):
                self._write(state)

    def _beside(self, state: str) -> Path:
        return self.directory / f".record.{state}"

    def _write(self, state: str) -> None:
        fd = private.open_file(self._beside(state), os.O_WRONLY | os.O_TRUNC)
        with private.as_file(fd, "w") as f:
            json.dump({"id": self.id, "name": self.name, "state": state, "from": self.peer}, f)
            f.flush()
            os.fsync(f.fileno())

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise HostError(
                f"the other host cannot note what becomes of pod {self.name}",
                needed=f"room in {self.directory} there",
                found=e.strerror or str(e),
                remedy="free some space there, or give that server another ZAPTRACE_RUNTIME_DIR",
            ) from e

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
        private.make_directory(self._staging)
        do = "chmod go-w it, or set ZAPTRACE_RUNTIME_DIR to a directory of your own"
        private.check_directory(self._staging, "a place for pods that arrive", do)
        self._recover()

    def converse(self, channel: Channel) -> None:
        """One conversation, from its first message to its end."""
        message = channel.recv("offer", "resolve")
        id = message.get("id", str)
        if not _ID.fullmatch(id):
            raise WireError("the id of this migration is none", found=repr(id[:40]))
        if message.kind == "offer":
            self._receive(channel, id, message.get("name", str), message.get("facts", dict))
        else:
            channel.send(self._resolution(id, message.get("decision", str)))

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
        private.make_directory(arrival.directory)
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
        arrival.copy = self._spawn(
            arrival.image,
            arrival.name,
            lambda: self._closing or channel.gone or arrival.state != "receiving",
        )
        fault("migrate.destination.whole")
        with arrival.changed:
            if arrival.state != "receiving":
                raise PeerGone(f"{channel.peer} took pod {arrival.name} back")
            arrival.have_room_to_note()
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
            remove_tree(arrival.directory)
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
                unforeseen(f"decide about pod {arrival.name}", e)
                e = ZaptraceError("the server failed", do="see its log")
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

    def _resolution(self, id: str, decision: str) -> str:
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
            return self._resolve_arrival(arrival)
        fault("migrate.destination.go_heard")
        again = arrival.state == "kept" and not self._closing
        if again:
            arrival.copy = self._spawn(arrival.image, arrival.name, lambda: self._closing)
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
            with contextlib.suppress(HostError):  # then it still says so
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
        return self._resolve_arrival(arrival)

    def _resolve_arrival(self, arrival: _Arrival) -> str:
        arrival.copy = None
        try:
            arrival.note("live")
        except HostError as e:  # it is, and we know it; a later server will not, and keep the image
            log.error("%s", e)
            return "live"
        remove_tree(arrival.image)
        fault("migrate.destination.live")
        return "live"

    # After a restart

    def _recover(self) -> None:
        for directory in sorted(self._staging.iterdir()):
            if not _ID.fullmatch(directory.name):
                continue
            record = record_of(directory)
            state = {"whole": "kept", "thawing": "unsure", "live": "live"}.get(record["state"])
            if state is None or (state == "live" and record["age"] > _RECORDS_KEPT_S):
                remove_tree(directory)
                continue
            arrival = _Arrival(directory, directory.name, record["name"], state, record["from"])
            self._arrivals[arrival.id] = arrival
            if state == "live":
                remove_tree(arrival.image)
            else:
                log.warning("the image of pod %s is still kept: %s", arrival.name, arrival.image)


def record_of(directory: Path) -> dict[str, Any]:
    """What is noted of a staged pod: state (receiving, whole, thawing, live), name, id, from, age."""
    path = directory / "record"
    record = records.read(path, _RECORD, needed=_RECORD)
    if record is not None:
        with contextlib.suppress(OSError):  # it is gone again
            return record | {"age": time.time() - path.stat().st_mtime}
    return {"state": "receiving"}

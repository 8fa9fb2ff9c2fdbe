"""From a running pod to an image."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from .. import plain, resources
from ..cancel import Cancel
from ..errors import (
    Cancelled,
    ImageError,
    TraceeGone,
    Unsettled,
    ZaptraceError,
    refusals_of_the_host,
)
from ..image.image import pack_states
from ..image.sink import Buffer, PartWriter, Sink
from ..limits import STATES, UNBOUNDED, Budget
from ..linux import host
from ..log import fault
from ..resources.inotify.hush import Hush
from ..resources.room import Room, encode_state
from ..view.frozen import FrozenPod, Outside
from ..view.scrollback import Scrollback
from ..view.store import RECORD
from .pod import Pod
from .rehearsal import read_again, rehearse

Then = Literal["resume", "stop", "hold"]

SETTLES_S = 3.5
"""How long a pod may run until it has nothing that is there for a moment only."""
KEEPS_AFTER_S = 0.25
"""After how much of that what waits to be accepted is accepted by us."""
_FIRST_LOOK_AGAIN_S, _LAST_LOOK_AGAIN_S = 0.002, 0.02


@dataclass(frozen=True)
class Report:
    """What a checkpoint took: downtime_s is how long the pod stood still (so far, for `hold`)."""

    downtime_s: float
    bytes: int
    processes: int
    threads: int


@dataclass(frozen=True)
class _How:
    """One checkpoint: what is done about connections, about watches of files, and a way to give it up."""

    outside: Outside
    hush: Hush
    cancel: Cancel
    scrollback: Callable[[], Scrollback | None]


def checkpoint(
    pod: Pod,
    sink: Sink,
    *,
    then: Then = "resume",
    rehearsal: bool | None = None,
    outside: Outside = "refuse",
    progress: Callable[[str, int], None] | None = None,
    cancel: Cancel | None = None,
    scrollback: Callable[[], Scrollback | None] = lambda: None,
) -> Report:
    """Write the pod to a sink; afterwards let it go on, end it, or leave it frozen.

    What the pod has for a moment only (Unsettled) is waited for, with the pod running meanwhile.
    With `rehearsal` (None: when it is to end) the image is restored beside the frozen pod first,
    and thrown away; without, it is read again, for none is written that would be refused. TCP
    connections to `outside` are refused, or in the image have been reset ("close").
    `progress(room, bytes so far)` is called as rooms are captured.
    Raises UnsupportedResource, ImageError, TraceeGone, PodError, Cancelled, and what the restore would
    raise; then the pod is as it was, if it lives, and the sink aborted. `cancel` is the sink's, too.
    `scrollback` says, once the pod stands still, what it wrote to its own terminal.
    """
    was_frozen = pod.frozen
    how = _How(outside, Hush(), cancel or Cancel(), scrollback)
    counting = Counting(sink, progress, how.cancel.check)
    try:
        with refusals_of_the_host(f'cannot checkpoint pod "{pod.name}"'):
            manifest, started = _capture_settled(pod, counting, how, patient=not was_frozen)
        fault("checkpoint.captured")
        how.cancel.check()
        wanted = then == "stop" if rehearsal is None else rehearsal
        prove = functools.partial(rehearse, cancel=how.cancel) if wanted else read_again
        if then == "resume" and not was_frozen and not wanted:
            how.hush.end()
            pod.thaw()  # before the commit: the pod need not wait for the disk
        downtime = time.monotonic() - started
        sink.commit(manifest, prove)
        how.hush.end(rehearsed=wanted and then != "stop")
        if then == "resume" and not was_frozen and wanted:
            pod.thaw()
            downtime = time.monotonic() - started
    except BaseException as error:
        sink.abort()
        how.hush.end(rehearsed=True)
        changed = _let_go_on(pod, was_frozen)
        if isinstance(error, ZaptraceError):
            error.changed = error.changed or changed
        raise
    if then == "stop":
        pod.kill()
    if then != "resume":
        downtime = time.monotonic() - started
    facts = manifest["pod"]
    return Report(downtime, counting.total, facts["processes"], facts["threads"])


def _let_go_on(pod: Pod, was_frozen: bool) -> str:
    """After a failure; what has changed by then."""
    try:
        if not was_frozen:
            pod.thaw()
    except ZaptraceError as failed:
        return pod.gone() or f"the pod is frozen: it cannot be thawed: {failed.what}"
    return pod.gone() or f"nothing; the pod is {'frozen still' if was_frozen else 'running again'}"


def _capture_settled(
    pod: Pod, counting: Counting, how: _How, *, patient: bool
) -> tuple[dict[str, Any], float]:
    """(manifest, when the pod was frozen for it).

    Between two looks it runs for as long as one has taken, at least: on a busy host, too, it gets on.
    """
    left = SETTLES_S if patient else 0.0
    look_again = _FIRST_LOOK_AGAIN_S
    while True:
        started = time.monotonic()
        pod.freeze(how.cancel)
        fault("checkpoint.frozen")
        try:
            keeps = left <= SETTLES_S - KEEPS_AFTER_S
            return pod.call(_capture_all, pod, counting, how, keeps), started
        except Unsettled:
            if left <= 0:
                raise
        how.hush.end()
        pod.thaw()
        runs = max(look_again, time.monotonic() - started)
        time.sleep(runs)
        left -= runs
        look_again = min(2 * look_again, _LAST_LOOK_AGAIN_S)


def _capture_all(pod: Pod, counting: Counting, how: _How, keeps: bool) -> dict[str, Any]:
    try:
        with contextlib.closing(pod.frozen_view()) as frozen:
            frozen.outside, frozen.scrollback = how.outside, how.scrollback
            frozen.keeps = keeps
            manifest = capture(frozen, counting, hush=how.hush)
            pod.before_end = frozen.at_end
            return manifest
    except (TraceeGone, Unsettled, Cancelled):
        raise
    except (ZaptraceError, OSError) as error:
        # What /proc says of a process that was killed is no refusal, of the host's or of ours.
        if (dead := pod.dead_member()) is None:
            raise
        raise TraceeGone(
            f"process {dead} of the pod died while it was looked at",
            found=error.what if isinstance(error, ZaptraceError) else str(error),
        ) from error


def capture(
    frozen: FrozenPod,
    sink: Counting,
    rooms: Sequence[Room[Any]] = resources.ROOMS,
    hush: Hush | None = None,
) -> dict[str, Any]:
    """The States and contents of rooms into the sink; the manifest without its parts.

    The pod's watches of files are hushed until `hush` is ended by the caller.
    """
    frozen.image = sink
    if not frozen.processes:
        raise TraceeGone(f'cannot checkpoint pod "{frozen.name}": it has no process any more')
    resources.claim_files(frozen)
    if hush is not None:
        hush.begin(frozen)
    packed: list[bytes] = []
    for room in rooms:
        sink.check()
        sink.room = room.NAME
        states = [encode_state(state) for state in room.capture(frozen)]
        packed.append(pack_states(room.NAME, states))
    packed.append(pack_states(RECORD, map(encode_state, frozen.stored)))
    _refuse_too_much(packed)
    sink.room = "state"
    with sink.part("state") as part:
        for record in packed:
            part.write(record)
    return {
        "created": time.time(),
        "host": host.facts_of(frozen.handle).plain(),
        "pod": {
            "name": frozen.name,
            "root": frozen.processes[0].vpid,
            "tty": frozen.tty_master is not None,
            "processes": len(frozen.processes),
            "threads": sum(len(p.threads) for p in frozen.processes),
        },
    }


def _refuse_too_much(records: list[bytes], budget: Budget = STATES) -> None:
    """Nobody would read it again."""
    size = sum(map(len, records))
    values = sum(plain.values_in(record, UNBOUNDED) for record in records)
    if size > budget.bytes or values > budget.values:
        raise ImageError(
            "cannot write the image: the pod has too much state besides its memory",
            needed=f"at most {budget.bytes} bytes and {budget.values} values",
            found=f"{size} bytes and {values} values",
            do="let the program close or remove some of what it has open, mapped, watched or queued",
        )


class Counting:
    """The sink, and how many bytes went in."""

    def __init__(
        self,
        sink: Sink,
        progress: Callable[[str, int], None] | None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._sink = sink
        self._progress = progress
        self.check = check  # raises when all of it is to be given up
        self.room = ""
        self.total = 0

    def part(self, name: str) -> _CountingPart:
        return _CountingPart(self, self._sink.part(name))

    def add(self, size: int) -> None:
        self.check()
        self.total += size
        if self._progress:
            self._progress(self.room, self.total)


class _CountingPart:
    def __init__(self, counting: Counting, part: AbstractContextManager[PartWriter]) -> None:
        self._counting = counting
        self._part = part
        self._writer: PartWriter

    def __enter__(self) -> _CountingPart:
        self._writer = self._part.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._part.__exit__(kind, error, traceback)

    def write(self, data: Buffer) -> None:
        self._writer.write(data)
        self._counting.add(len(data))

"""Signals of POSIX timers that wait to be taken (SI_TIMER).

Such a signal is the timer's own: it waits once, however often the timer goes off meanwhile, and how
often that was is counted from the moment of the first time on, when it is taken. So the timer brings
it along, set to that moment, and it is nobody else's to queue. The kernel tells the count only to who
takes the signal: it is taken, with what else waits by that number, and all of it made to wait again.

Of a timer on a CPU-time clock that moment may be before the process began, as a restored one is young:
then its signal is queued as anybody's, with the count in it, and its timer goes on beside it. Rooms
keep such a signal as they keep any other.
"""

from __future__ import annotations

import re
import signal
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...linux import procfs
from ...linux.program import Data, Program, Row

if TYPE_CHECKING:
    from ...linux.tracee import Thread
    from ...view.frozen import FrozenProcess, FrozenThread

_SI_TIMER = -2
_INFO = struct.Struct("<iii4xii")
"""The beginning of a siginfo_t: signal, errno, code, timer, overrun."""
_INFO_SIZE, _SET, _SPEC_SIZE = 128, 8, 32
_TIMER_ABSTIME = 1
_NS = 1_000_000_000
_CLOCK = re.compile(r"ID: (\d+)\nsignal: .*\nnotify: .*\nClockID: (-?\d+)\n")
"""Of /proc/PID/timers; clocks of CPU time are below 0."""
_FIRST_REAL_TIME = 32


@dataclass(frozen=True)
class Going:
    """A timer that has gone off."""

    id: int
    clock: int
    interval_ns: int
    due_ns: int
    """When it goes off next, by its clock."""
    overruns: int
    """How often it has beside the first time."""
    seen_ns: int = 0
    """By its clock, if that is one of CPU time: when this was so."""

    @property
    def in_time(self) -> bool:
        """Was there a first time, by its clock?"""
        return self.clock >= 0 or self.due_ns > self.interval_ns * (self.overruns + 1)

    def by(self, now_ns: int) -> tuple[int, int]:
        """The time that is left at that moment, and the overruns until then."""
        if not self.interval_ns:
            return 0, 0
        if self.clock < 0:
            now_ns = self.seen_ns
        more = max(0, (now_ns - self.due_ns) // self.interval_ns + 1)
        return self.due_ns + more * self.interval_ns - now_ns, self.overruns + more

    @property
    def since(self) -> bytes:
        """Its struct itimerspec from the first time on."""
        if not self.interval_ns:
            return packed(0, 1)
        times = min(self.overruns + 1, (self.due_ns - 1) // self.interval_ns)  # of a young clock
        return packed(self.interval_ns, self.due_ns - times * self.interval_ns)


def packed(interval_ns: int, value_ns: int) -> bytes:
    """A struct itimerspec."""
    return struct.pack("<qqqq", *divmod(interval_ns, _NS), *divmod(value_ns, _NS))


def unpacked(raw: bytes) -> tuple[int, int]:
    """The interval and the time left, in ns."""
    interval_s, interval, left_s, left = struct.unpack("<qqqq", raw)
    return interval_s * _NS + interval, left_s * _NS + left


def brought_along(process: FrozenProcess, infos: list[bytes]) -> list[bytes]:
    """Of the siginfos that wait, those that timers of the process bring along."""
    if all(_INFO.unpack_from(info)[2] != _SI_TIMER for info in infos):
        return []
    clocks = _clocks(process)
    last = {_timer_of(info): place for place, info in enumerate(infos)}
    return [
        info
        for place, info in enumerate(infos)
        if (timer := _timer_of(info)) in clocks and last[timer] == place and not _overruns(info)
    ]


def _overruns(info: bytes) -> int:
    """That it tells: none as long as it waits, if its timer brought it along."""
    overruns: int = _INFO.unpack_from(info)[4]
    return max(0, overruns)


def _clocks(process: FrozenProcess) -> dict[int, int]:
    found = _CLOCK.findall(procfs.read(f"{process.proc}/timers"))
    return {int(id_): int(clock) for id_, clock in found}


def _timer_of(info: bytes) -> int | None:
    _, _, code, timer, _ = _INFO.unpack_from(info)
    return timer if code == _SI_TIMER else None


def waiting(process: FrozenProcess, makers: Mapping[int, int]) -> dict[int, Going]:
    """The timers whose signals wait, by their numbers.

    `makers`: the rtids of the threads whose own time is measured, by the numbers of timers.
    """
    found: dict[int, Going] = {}
    for thread in process.threads:
        _find_waiting(process, thread, makers, found, shared=False)
    _find_waiting(process, process.leader, makers, found, shared=True)
    return found


def _find_waiting(
    process: FrozenProcess,
    thread: FrozenThread,
    makers: Mapping[int, int],
    found: dict[int, Going],
    *,
    shared: bool,
) -> None:
    ours = brought_along(process, thread.pending(shared=shared))
    clocks = _clocks(process) if ours else {}
    for timer in clocks.keys() & makers.keys():
        clocks[timer] = of_thread(makers[timer], clocks[timer])
    for number in sorted({_INFO.unpack_from(info)[0] for info in ours}):
        for going in _look(thread, number, clocks):
            found[going.id] = going


def of_thread(id_: int, clock: int) -> int:
    """The number of a clock of CPU time of another thread or process than the caller's own."""
    return ~id_ << 3 | clock & 7


def _look(thread: FrozenThread, number: int, clocks: dict[int, int]) -> list[Going]:
    """Take all signals of a number, and have them wait again. The thread's own come first."""
    rpid = thread.process.rpid
    own, shared = (
        [info for info in thread.pending(shared=of) if _INFO.unpack_from(info)[0] == number]
        for of in (False, True)
    )
    program = Program()
    mask, at_once = _mask(program, number), program.data(bytes(16))
    rows: list[tuple[Row, Data]] = []
    times: dict[int, tuple[Data, Data]] = {}
    ours = [*brought_along(thread.process, own), *brought_along(thread.process, shared)]
    of_timers = [_timer_of(info) if info in ours else None for info in own + shared]
    for timer in of_timers:
        if timer is not None:
            now, left = times[timer] = program.buffer(16), program.buffer(_SPEC_SIZE)
            program.call("clock_gettime", clocks[timer], now)
            program.call("timer_gettime", timer, left)
        taken = program.buffer(_INFO_SIZE)
        row = program.call("rt_sigtimedwait", mask, taken, at_once, _SET, may_fail=True)
        rows.append((row, taken))
    results = thread.run(program)
    infos = [results.bytes(taken) if results[row] == number else None for row, taken in rows]
    found = []
    for place, (info, timer) in enumerate(zip(infos, of_timers, strict=True)):
        if info is None:
            continue
        if timer is not None:
            now_s, now_ns = struct.unpack("<qq", results.bytes(times[timer][0]))
            interval_ns, left_ns = unpacked(results.bytes(times[timer][1]))
            now_ns += now_s * _NS
            due_ns, overruns = now_ns + left_ns, _overruns(info)
            going = Going(timer, clocks[timer], interval_ns, due_ns, overruns, now_ns)
            waits_again(thread, rpid, going, info, own=place < len(own))
            if going.in_time or not going.overruns:
                found.append(going)
        else:
            _queue(thread, rpid, info, own=place < len(own))
    return found


def waits_again(thread: Thread, rpid: int, timer: Going, info: bytes, *, own: bool) -> None:
    """By its timer if that can be: the signal itself is then `info`, which tells the overruns."""
    (number,) = struct.unpack_from("<i", info)
    queued = (_INFO.unpack_from(each)[0] for each in thread.pending(shared=not own))
    if timer.in_time or (number < _FIRST_REAL_TIME and number in queued):
        go_off(thread, timer)
    else:
        _queue(thread, rpid, info, own=own)


def signal_of(timer: Going, number: int, value: int) -> bytes:
    """The siginfo_t that tells so many overruns."""
    head = _INFO.pack(number, 0, _SI_TIMER, timer.id, timer.overruns)
    return (head + struct.pack("<Q", value)).ljust(_INFO_SIZE, b"\0")


def _queue(thread: Thread, rpid: int, info: bytes, *, own: bool) -> None:
    program = Program()
    (number,) = struct.unpack_from("<i", info)
    again = program.data(info)
    if own:
        program.call("rt_tgsigqueueinfo", rpid, thread.rtid, number, again)
    else:
        program.call("rt_sigqueueinfo", rpid, number, again)
    thread.run(program)


def go_off(thread: Thread, timer: Going) -> None:
    """Its signal waits then."""
    program = Program()
    program.call("timer_settime", timer.id, _TIMER_ABSTIME, program.data(timer.since), 0)
    thread.run(program)


def have_gone_off(thread: Thread, timer: Going, number: int) -> None:
    """Its signal was taken; no other of that number waits."""
    program = Program()
    mask, before = _mask(program, number), program.buffer(_SET)
    soon = program.data(struct.pack("<qq", 1, 0))
    since = program.data(timer.since)
    program.call("rt_sigprocmask", signal.SIG_BLOCK, mask, before, _SET)
    program.call("timer_settime", timer.id, _TIMER_ABSTIME, since, 0)
    program.call("rt_sigtimedwait", mask, 0, soon, _SET, may_fail=True)
    program.call("rt_sigprocmask", signal.SIG_SETMASK, before, 0, _SET)
    thread.run(program)


def _mask(program: Program, number: int) -> Data:
    return program.data(struct.pack("<Q", 1 << (number - 1)))

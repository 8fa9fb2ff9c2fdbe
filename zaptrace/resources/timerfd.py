"""timerfd_create(2): clock, time left, interval, expirations not read yet.

The time that is left is time of the pod's, so it runs again when the pod does. A timer set to an
absolute time of the realtime clock keeps that time, so it may have passed.

Not carried: a clock change that a TFD_TIMER_CANCEL_ON_SET timer has not been told of yet.
Alarm clocks (CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM) need CAP_WAKE_ALARM where they go to.

No C half: the clock room's shifts absolute times.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..ids import FileId
from ..shapes import I64, U64, Duration, OneOf, Range
from ..view.build import Stage
from ..view.files import Files
from .common.file import Description, described, finish, restoring
from .common.libc import checked, libc
from .common.timer import pod_now

if TYPE_CHECKING:
    from ..linux.native import Handle
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "timerfd"

_ABSTIME, _CANCEL_ON_SET = 1, 2
_REALTIME_CLOCKS = (0, 8)  # CLOCK_REALTIME, CLOCK_REALTIME_ALARM
_BASE_CLOCK = {0: 0, 1: 1, 7: 7, 8: 0, 9: 7}  # the *_ALARM clocks tell the time of these
_ITIMERSPEC = struct.Struct("=qqqq")
_TFD_IOC_SET_TICKS = 0x40085400  # _IOW('T', 0, __u64); needs CONFIG_CHECKPOINT_RESTORE
_NS = 1_000_000_000
_LOOKS = 10


@dataclass(frozen=True)
class State(Description):
    clock: Annotated[int, OneOf(*_BASE_CLOCK)]
    settime_flags: Annotated[int, Range(0, 3)]
    """TFD_TIMER_ABSTIME 1 and TFD_TIMER_CANCEL_ON_SET 2, as last given."""
    left_ns: Duration
    """Time to the next expiration; 0 is disarmed."""
    at_ns: I64
    """The pod's monotonic time when `left_ns` was that much."""
    expires_ns: Duration
    """The next expiration, as this host's `clock` would show it."""
    interval_ns: Duration
    ticks: U64
    """Expirations that were not read yet."""


def claims(file: FrozenFile) -> bool:
    return file.link == "anon_inode:[timerfd]"


def capture(pod: FrozenPod) -> list[State]:
    return [_read(pod, file) for file in pod.files(NAME)]


def restore(states: list[State], build: Build) -> None:
    if not states:
        return
    timers = Files(share=8)  # the build closes its own before the thaw
    build.at_thaw(lambda: None, timers.close)
    for clock in {state.clock for state in states}:
        build.at(Stage.CLAIM, _try_clock, clock)
    for state in states:
        build.at(Stage.SHARED, _make, state, build)
        # As late as can be: the pod's clock is set right before it runs, and we after that.
        build.at(Stage.RESUME, _arm, state, build, timers)
    build.at(Stage.RESUME, build.at_thaw, timers.close)


def _read(pod: FrozenPod, file: FrozenFile) -> State:
    clock = int(file.info["clockid"][0])
    # timerfd_gettime brings the ticks of a periodic timer up to date, so it comes first; a tick
    # that falls in between shows as a change, and we look again. If one does each time, then nobody
    # can tell one more tick from one less.
    ticks, settime_flags = _shown(file.local)
    for _ in range(_LOOKS):
        raw = ctypes.create_string_buffer(_ITIMERSPEC.size)
        checked(libc.timerfd_gettime(file.local, raw))
        now = time.clock_gettime_ns(_BASE_CLOCK.get(clock, clock))
        at = pod_now(pod.handle)
        before, (ticks, settime_flags) = ticks, _shown(file.local)
        if ticks == before:
            break
    interval_s, interval_ns, left_s, left_ns = _ITIMERSPEC.unpack(raw.raw)
    left = left_s * _NS + left_ns
    return State(
        **described(pod, file),
        clock=clock,
        settime_flags=settime_flags,
        left_ns=left,
        at_ns=at,
        expires_ns=now + left,
        interval_ns=interval_s * _NS + interval_ns,
        ticks=ticks,
    )


def _shown(fd: int) -> tuple[int, int]:
    """(ticks, settime flags) of the timer `fd` in our process."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return int(fields["ticks"]), int(fields["settime flags"], 8)


def _create(clock: int) -> int:
    return checked(libc.timerfd_create(clock, os.O_CLOEXEC))


def _try_clock(clock: int) -> None:
    do = "grant CAP_WAKE_ALARM" if clock in (8, 9) else None
    with restoring(NAME, Stage.CLAIM, f"a timer of clock {clock}", do):
        os.close(_create(clock))


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "a timerfd"):
        finish(build, state, _create(state.clock))


def _arm(state: State, build: Build, timers: Files) -> None:
    """So that it shows what it is while the pod is held, ..."""
    fd = build.file(state.file_id)
    _start(state, fd, state.at_ns)
    file_id = FileId(state.file_id)
    timers.provide(file_id, os.dup(fd))
    build.at_thaw(partial(_arm_again, state, timers, build.handle))


def _arm_again(state: State, timers: Files, handle: Handle) -> None:
    """... and with the time that is right when it runs."""
    fd = timers.take(FileId(state.file_id))
    try:
        _start(state, fd, pod_now(handle))
    finally:
        os.close(fd)


def _start(state: State, fd: int, pod_now: int) -> None:
    now = time.clock_gettime_ns(_BASE_CLOCK.get(state.clock, state.clock))
    absolute = state.settime_flags & _ABSTIME
    left = max(1, state.left_ns - (pod_now - state.at_ns))
    ticking = state.ticks and state.interval_ns  # also while nothing is left until its next tick
    if not state.left_ns and not ticking:
        value = 0
    elif absolute:
        value = state.expires_ns if state.clock in _REALTIME_CLOCKS else now + left
    else:
        value = left
    with restoring(NAME, Stage.RESUME, "the time of a timerfd"):
        _settime(fd, state.settime_flags, value, state.interval_ns)
        if not state.ticks:
            return
        try:
            fcntl.ioctl(fd, _TFD_IOC_SET_TICKS, struct.pack("=Q", state.ticks))
        except OSError:
            # The kernel counts what an absolute start in the past has missed.
            ago = state.ticks * state.interval_ns - state.left_ns if state.interval_ns else 1
            _settime(fd, _ABSTIME, max(1, now - ago), state.interval_ns)


def _settime(fd: int, flags: int, value_ns: int, interval_ns: int) -> None:
    spec = _ITIMERSPEC.pack(*divmod(interval_ns, _NS), *divmod(value_ns, _NS))
    checked(libc.timerfd_settime(fd, flags, spec, None))

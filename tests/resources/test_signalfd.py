"""The signalfd room: the mask."""

from __future__ import annotations

import os
import signal
import threading

from harness.room_world import World
from zaptrace.resources import signalfd
from zaptrace.resources.common.libc import checked, libc


def test_round_trip(world: World) -> None:
    mask = 1 << (signal.SIGUSR1 - 1) | 1 << (40 - 1)
    fd = checked(libc.signalfd(-1, mask.to_bytes(128, "little"), os.O_NONBLOCK))
    world.hold(fd)
    (state,) = world.round_trip(signalfd)
    assert state.mask == mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        # To this thread: another one of the test runner has it unblocked.
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        assert int.from_bytes(os.read(fd, 128)[:4], "little") == signal.SIGUSR1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert world.capture(signalfd) == [state]

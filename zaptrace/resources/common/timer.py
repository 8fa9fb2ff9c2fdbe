"""Time left of a timer of a process: measured in a frozen pod, and what remains of it at the thaw."""

from __future__ import annotations

import struct
import time

from ...linux.native import Handle, lib

_NS = 1_000_000_000


def pod_now(handle: Handle) -> int:
    """The pod's monotonic time, in ns."""
    return time.monotonic_ns() + lib.zt_pod_clock(handle)


def shortened(spec: bytes, passed_ns: int, unit_ns: int) -> bytes:
    """A struct itimerval (unit 1000 ns) or itimerspec (unit 1 ns), so much of its time later.

    A timer that would have fired meanwhile fires at once; one that is not armed stays so.
    """
    interval_s, interval, left_s, left = struct.unpack("<qqqq", spec)
    left_ns = left_s * _NS + left * unit_ns
    if not left_ns:
        return spec
    left_s, left_ns = divmod(max(unit_ns, left_ns - passed_ns), _NS)
    return struct.pack("<qqqq", interval_s, interval, left_s, left_ns // unit_ns)

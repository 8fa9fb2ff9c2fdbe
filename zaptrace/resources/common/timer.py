"""Time left of a timer of a process: measured in a frozen pod, and what remains of it at the thaw."""

from __future__ import annotations

import struct
import time

from ...linux.native import Handle, lib
from ...shapes import Seen, Wrong

_NS = 1_000_000_000


class Times:
    """A struct itimerval (10^6 units to a second) or itimerspec (10^9)."""

    def __init__(self, units: int) -> None:
        self.units = units

    def check(self, value: bytes, seen: Seen) -> None:
        if len(value) != 32:
            raise Wrong("has the wrong length", "32", str(len(value)))
        interval_s, interval, left_s, left = struct.unpack("<qqqq", value)
        units = range(self.units)
        if interval_s < 0 or left_s < 0 or interval not in units or left not in units:
            raise Wrong(
                "is no time", f"seconds, and less than {self.units} of what follows", "else"
            )


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

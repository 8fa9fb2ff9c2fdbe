"""From one host server to another over a network of a given speed, with memory that is written to."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from ..experiment import Experiment, Figure
from ..system import Inside, Load
from ..throttle import Throttle, throttle
from ..ticks import Ticks
from ..tools import compiled, ms

MIB = 2**20
_LOOK_S = 0.001
CASES = [
    f"128 MiB, {written} % written, {rate} Mbit/s"
    for rate in (1000, 100)
    for written in (0, 10, 50)
]
QUICK = "4 MiB, 0 % written, 1000 Mbit/s"


class Gaps:
    """A client's view: looks at what a load says all the time, and knows for how long it said nothing."""

    def __init__(self, out: Path) -> None:
        self._out, self._over = out, threading.Event()
        self.longest = 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        size, since = self._out.stat().st_size, time.monotonic()
        while not self._over.wait(_LOOK_S):
            now, is_now = time.monotonic(), self._out.stat().st_size
            self.longest = max(self.longest, now - since)
            if is_now != size:
                size, since = is_now, now

    def end(self) -> float:
        """Milliseconds of the longest silence."""
        self._over.set()
        self._thread.join()
        return 1e3 * self.longest


class Migrate(Experiment):
    name = "migrate"
    title = "From one host server to another"
    share = 4.0
    about = (
        "bench/programs/load.c with so much memory, of which a part is written to in each second, moves "
        "to another instance on this host through a connection of that speed (bench/throttle.py). total: "
        "of the whole request. downtime: the longest silence, as who reads its numbers sees it. sent: "
        "bytes towards the destination. The numbers went on without a gap, and all memory was "
        "looked at afterwards. Virtual machines: live, by pre-copy."
    )
    rounds = 3

    def cases(self, quick: bool) -> list[str]:
        return [QUICK] if quick else CASES

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        size, written, rate = re.findall(r"\d+", case)
        load = inside.start_to_move([compiled("load"), "bytes", size, written])
        try:
            with throttle(int(rate) * 1e6) as network:
                return self._moved(load, network)
        finally:
            load.close()

    def _moved(self, load: Load, network: Throttle) -> list[Figure]:
        ticks = Ticks(load.out, load.ended)
        ticks.next()
        gaps = Gaps(load.out)
        try:
            total = ms(load.move, network)
            ticks.look()
            ticks.next()
        finally:
            down = gaps.end()
        ticks.everything()
        return [
            Figure("total", total, "ms"),
            Figure("downtime", down, "ms"),
            Figure("sent", network.sent / MIB, "MiB"),
        ]

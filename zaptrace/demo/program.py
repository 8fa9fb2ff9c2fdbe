"""The program that `zaptrace demo` moves. It knows nothing of zaptrace, and imports none of it.

    generator ──pipe──▶ 2 workers of 2 threads each ──pipe──▶ printer ──▶ stdout
    1, 2, 3 ...         a checksum of each number             in order again, one line each

A line is `number checksum running-checksum pid-of-worker thread`, written in one call. (A print is
one for each of its words under PYTHONUNBUFFERED; a move between two of them leaves half a line in
the log of each host.) SIGUSR1 to the printer, which is the parent of all, ends it: it ends the
generator, each stage sees the end of its pipe, the printer waits for its children and prints `end`,
the last number and the last running checksum.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")

NUMBER = struct.Struct("<Q")
RESULT = struct.Struct("<Q16sIB")  # at most PIPE_BUF, so that writes and reads are whole


def checksum_of(number: int) -> str:
    """16 hexadecimal digits that a wrong number would not have."""
    return hashlib.sha256(b"%d" % number).hexdigest()[:16]


def chained(before: str, checksum: str) -> str:
    """The running checksum after one more line."""
    return hashlib.sha256((before + checksum).encode()).hexdigest()[:16]


def generate(numbers: int, rate: float) -> None:
    """Write 1, 2, 3 ..., `rate` of them a second, until a SIGTERM."""
    going = True

    def end(*_: object) -> None:
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, end)
    number, due = 0, time.monotonic()
    while going:
        number += 1
        os.write(numbers, NUMBER.pack(number))
        due += 1 / rate
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)


def work(numbers: int, results: int) -> None:
    """Two threads that take numbers until there are no more."""

    def loop(thread: int) -> None:
        while record := os.read(numbers, NUMBER.size):
            (number,) = NUMBER.unpack(record)
            checksum = checksum_of(number).encode()
            os.write(results, RESULT.pack(number, checksum, os.getpid(), thread))

    threads = [threading.Thread(target=loop, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def say(*words: object) -> None:
    """Write one line to stdout, whole."""
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def print_in_order(results: int) -> tuple[int, str]:
    """Print every result, in the order of the numbers; the last number and running checksum."""
    waiting: list[tuple[int, str, int, int]] = []
    last, running = 0, ""
    while record := os.read(results, RESULT.size):
        number, checksum, pid, thread = RESULT.unpack(record)
        heapq.heappush(waiting, (number, checksum.decode(), pid, thread))
        while waiting and waiting[0][0] <= last + 1:  # a repeated one would show, too
            last, checksum, pid, thread = heapq.heappop(waiting)
            running = chained(running, checksum)
            say(last, checksum, running, pid, thread)
    return last, running


def child(main: Callable[[*Ts], object], *arguments: *Ts, close: list[int]) -> int:
    """Run `main` in a process of its own; its pid."""
    pid = os.fork()
    if pid == 0:
        for fd in close:
            os.close(fd)
        main(*arguments)
        os._exit(0)
    return pid


def main() -> int:
    """Set up the pipeline, print, and wait for everybody."""
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    numbers_out, numbers_in = os.pipe()
    results_out, results_in = os.pipe()
    generator = child(generate, numbers_in, rate, close=[numbers_out, results_out, results_in])
    os.close(numbers_in)
    workers = [child(work, numbers_out, results_in, close=[results_out]) for _ in range(2)]
    os.close(numbers_out)
    os.close(results_in)
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(generator, signal.SIGTERM))
    last, running = print_in_order(results_out)
    for pid in (generator, *workers):
        _, status = os.waitpid(pid, 0)
        if status:
            say("failed", pid, status)
            return 1
    say("end", last, running)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the loads of applications share: `go_on` says ready, and then what bench/ticks.py reads.

They run inside of systems, where there is Python and what the application itself needs; what is missing is
said as "@missing PROGRAM", and what does not come up as "@failed WHY".
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NoReturn

TICK_S = 0.005
LONGEST = 70
"""Letters of a directory's name that leave room for the name of a socket in it."""


def need(*programs: str) -> None:
    os.environ["PATH"] += ":/usr/sbin:/sbin:/usr/games"
    for program in programs:
        if not shutil.which(program):
            say(f"@missing {program}")
            sys.exit(9)


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def give_up(why: str) -> NoReturn:
    say(f"@failed {why}")
    sys.exit(1)


def _fell(kind: type[BaseException], error: BaseException, _: object) -> None:
    say(f"@failed {kind.__name__}: {error}")


sys.excepthook = _fell


def home() -> str:
    """A directory of its own: where it was started, which whoever did that tidies up; in a guest, which
    starts things at its root, in memory where there is one."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    here = os.getcwd()
    if here != "/" and os.access(here, os.W_OK) and len(here) < LONGEST:
        base = here
    made = tempfile.mkdtemp(prefix="bench-", dir=base)
    os.chdir(made)
    return made


def go_on(ask: Callable[[int], bool], lap: int) -> None:
    """Ask the application again and again; everything was asked for after so many times. An answer
    that is not right ends it."""
    say("ready")
    count = 0
    while True:
        time.sleep(TICK_S)
        if not ask(count % lap):
            say("wrong")
            sys.exit(1)
        count += 1
        say(f"{count} {count // lap}")

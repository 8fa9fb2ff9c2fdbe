"""Scripts for composed/composed.c, made by chance, and what has to hold of each.

A script is a tuple of steps, `map 0 3 0 1 7 0`: a word, and numbers. Any script is right, so it can be
cut down in any way when one fails. `carried` runs one natively, and then checkpoints it, kills it
and restores it, twice over, with all that the kernel shows compared (harness/snapshot).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from harness import world
from harness.flavours import started
from harness.world import TESTS, FlavourError, compiled

SOURCE = TESTS / "harness" / "composed" / "composed.c"
MOMENTS = 2

Script = tuple[str, ...]

_some = st.integers(0, 40)
_large = st.integers(0, 9999)
_shape = st.integers(0, 7)

WORDS: dict[str, tuple[st.SearchStrategy[int], ...]] = {
    "map": (_shape, _shape, _some, st.integers(0, 1023), st.integers(0, 255), _shape),
    "protect": (_some, _shape, _shape, _shape),
    "advise": (_some, _shape, _shape, _some),
    "unmap": (_some, _shape, _shape),
    "lock": (_some, _shape, _shape, _shape),
    "remap": (_some, _shape, _shape, _shape, _shape),
    "look": (_some,),
    "brk": (_some,),
    "seal": (_some, _shape, _shape),
    "file": (_some, _some, _large, _some, _large),
    "special": (_some, _some),
    "pipe": (_shape, _shape, _large, _shape, _shape),
    "pair": (_shape, _shape, _large, _shape, _shape),
    "listen": (_shape, _shape, _shape, _shape),
    "event": (_some, st.integers(0, 255)),
    "pty": (st.integers(0, 15), _some),
    "tty": (_some, _shape, st.integers(0, 31)),
    "flight": (_shape, _some, _shape, _shape),
    "inet": (_shape, _shape, _large, _shape),
    "option": (_some, st.integers(0, 27), _large),
    "policy": (_some, _shape, _shape, st.integers(0, 15)),
    "lead": (_shape,),
    "dup": (_some, _shape, _some),
    "close": (_some,),
    "fcntl": (_some, _some, _large),
    "signal": (_some, _some, _some),
    "timer": (_shape, _some),
    "limit": (_some, _some, _shape),
    "place": (_shape,),
    "set": (_some, _large),
    "thread": (_some, _some),
}
"""What can be made, and its numbers."""

_step = st.one_of(
    st.tuples(*numbers).map(lambda found, word=word: (" ".join([word, *map(str, found)]),))
    for word, numbers in WORDS.items()
)


def _block(depth: int) -> st.SearchStrategy[Script]:
    steps = _step
    if depth:
        steps = st.integers(0, 4).flatmap(lambda n: _step if n else _fork(depth - 1))
    return st.lists(steps, max_size=9).map(lambda parts: sum(parts, ()))


def _fork(depth: int) -> st.SearchStrategy[Script]:
    begin = st.tuples(_shape, _shape, _shape)
    end = st.tuples(_shape, st.integers(0, 255))
    return st.tuples(begin, _block(depth), end).map(
        lambda it: ("fork {} {} {}".format(*it[0]), *it[1], "end {} {}".format(*it[2]))
    )


scripts = _block(2).filter(bool)


class Refused(Exception):
    """The checkpoint said no, by name, and the pod ran on and passed."""


def carried(script: Script) -> None:
    """Or FlavourError; Refused where something of it is not carried."""
    place = world.make_place()
    try:
        _run("native", script, place)
        _run("restore", script, place)
    finally:
        world.remove(place)
        world.reap()


def _run(flavour: str, script: Script, place: Path) -> None:
    refused = ""
    with started(flavour, [compiled(SOURCE), *script], place) as it:
        it.wait_for("ready")
        it.waits = True
        for moment in range(MOMENTS):
            try:
                alive = it.cycle()
            except FlavourError as error:
                refused = "" if moment else refusal(str(error))
                if not refused:
                    raise
                break
            if not alive:
                raise it.failed("it ended while it should have waited for the go")
        it.go()
        outcome = it.finish()
        if outcome.exit or "PASS" not in outcome.output.split() or "FAIL" in outcome.output:
            raise it.failed(f"it did not pass (exit {outcome.exit})")
    if refused:
        raise Refused(refused)


_REFUSAL = re.compile(
    r"^zaptrace\.errors\.(?:UnsupportedResource|Unsettled): (.+)\n"
    r"  needed +.+\n  found +.+\n(  do .+\n)?"
    r"  changed  nothing",
    re.MULTILINE,
)


def refusal(text: str) -> str:
    """What a checkpoint refused, if it did so in the form of the house; else nothing."""
    found = _REFUSAL.search(text)
    return found[1] if found else ""


# --- for long runs by hand -----------------------------------------------------------------------


def fault(script: Script) -> str:
    """What is wrong with it, in full; nothing for one that is carried or refused."""
    try:
        carried(script)
    except Refused:
        return ""
    except FlavourError as error:
        return str(error)
    return ""


def kinds(text: str) -> set[str]:
    """Of a fault, what it has in common with others: each thing that it says, without numbers."""
    lines = text.partition("\n--- its output")[0].splitlines()
    said = [line for line in lines if line.startswith("  process ")]
    if "FAIL:" in text:
        said = text[text.index("FAIL:") :].splitlines()[:1]
    said = said or [n for n in lines if re.match(r"zaptrace\.\w|\w*Error", n)][-1:] or lines[-1:]
    return {re.sub(r"0x[0-9a-f]+|[0-9a-f]*\d[0-9a-f]*", "N", line)[:120] for line in said}


def smaller(script: Script, fails: Callable[[Script], bool], until: float) -> Script:
    """As short as it gets by then, and still failing."""
    size = max(len(script) // 2, 1)
    while True:
        at = 0
        while at < len(script) and time.monotonic() < until:
            less = script[:at] + script[at + size :]
            if less and fails(less):
                script = less
            else:
                at += size
        if size == 1 or time.monotonic() >= until:
            return script
        size //= 2

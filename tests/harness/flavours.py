"""Runs one program in many flavours, so that one program is many proofs.

    native    plain, without us: the program itself is right
    pod       in a pod: translation is invisible
    frozen    frozen, and thawed: a freeze shows nowhere
    resume    checkpointed, and the original goes on: capture disturbs nothing
    rehearsed the same, after its image was restored beside it and thrown away
    restore   checkpointed, killed, restored
    shifted   the same, and its old process ids are others' by then
    twice     the restored pod is checkpointed, killed and restored again
    migrate   moved over ZeroMQ to another host server

A `Run` is one program in one flavour. `cycle()` does to it, at that moment, what the flavour is
about; for native and pod that is nothing. Pods are never made in pytest itself but in a process of
their own (runner.py), so that a crash of the tracer is a failed test and no more.

A program that follows tests/programs/zt_test.h prints `ready`, waits for the file named by ZT_GO,
checks itself, and prints `PASS`. `run_flavour` is for these. `compare_native` is for any other
program: its output must be the same whatever happens to it at random moments.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness import known_differences
from harness.runs import NativeRun, Outcome, PodRun, Run
from harness.world import PATIENCE_S, SEED, FlavourError, environment

ALL = (
    "native", "pod", "frozen", "resume", "rehearsed", "restore", "shifted", "twice", "migrate",
)  # fmt: skip
_MOVING = ("restore", "shifted", "twice", "migrate")
_CYCLING = ("frozen", "resume", "rehearsed", *_MOVING)


def known(names: str) -> tuple[str, ...]:
    """The flavours of a list; ValueError for a name that is none."""
    found = tuple(names.split())
    if unknown := [name for name in found if name not in ALL]:
        raise ValueError(f"no such flavour: {', '.join(unknown)}; there are {', '.join(ALL)}")
    return found


FLAVOURS = known(os.environ.get("ZAPTRACE_TEST_FLAVOURS", "")) or ALL
"""ZAPTRACE_TEST_FLAVOURS: only these, for whoever hunts one fault."""
MOVING = tuple(flavour for flavour in _MOVING if flavour in FLAVOURS)
"""Flavours whose program goes on in other processes than it began in."""
ATTEMPTS = 4
"""How often a program is run until it was caught while it ran."""


@contextlib.contextmanager
def started(
    flavour: str,
    argv: Sequence[str | Path],
    place: Path,
    *,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[Path], None] = lambda work: None,
) -> Iterator[Run]:
    """A started program in `flavour`; its files are in a new directory below `place`.

    `prepare(work)` fills the program's working directory before the start.
    """
    known(flavour)
    own = Path(tempfile.mkdtemp(prefix=f"{flavour}-", dir=place))
    work = own / "work"
    work.mkdir()
    prepare(work)
    full = environment(**(env or {}))
    if flavour == "native":
        it: Run = NativeRun(flavour, list(map(str, argv)), own, full, work)
    elif flavour == "migrate":
        from harness.hosts import MigratingRun

        it = MigratingRun(flavour, list(map(str, argv)), own, full, work)
    elif flavour == "shifted":
        from harness.shifted import ShiftedRun

        it = ShiftedRun(flavour, list(map(str, argv)), own, full, work)
    else:
        it = PodRun(flavour, list(map(str, argv)), own, full, work)
    try:
        it.start()
        yield it
    finally:
        it.close()


# --- the two ways to use it ----------------------------------------------------------------------


def run_flavour(
    flavour: str,
    argv: Sequence[str | Path],
    place: Path,
    *,
    moments: int = 1,
    go: Callable[[Run], None] = Run.go,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[Path], None] = lambda work: None,
    timeout: float = PATIENCE_S,
    waits: bool = True,
) -> Outcome:
    """A self-checking program: ready, `moments` cycles, go, PASS and exit status 0.

    One that `waits` for the go is the same until then, and is looked at again after it has run.
    """
    with started(flavour, argv, place, env=env, prepare=prepare) as it:
        it.wait_for("ready", timeout)
        it.waits = waits
        if waits and flavour in _CYCLING:
            it.settle()
        for _ in range(moments):
            if not it.cycle():
                raise it.failed("it ended while it should have waited for the go")
        go(it)
        outcome = it.finish(timeout)
        if outcome.exit != 0 or "PASS" not in outcome.output.split():
            raise it.failed(f"it did not pass (exit {outcome.exit})")
        if old := known_differences.stale(program_name(argv[0]), flavour, it.known):
            raise it.failed(
                "it shows no more what known_differences.py says that it shows; take it out there:"
                "\n  " + "\n  ".join(old)
            )
        return outcome


def program_name(path: str | Path) -> str:
    """Of a program of tests/programs: its source's stem."""
    return Path(path).name.removesuffix("-cc")


def compare_native(
    flavour: str,
    argv: Sequence[str | Path],
    place: Path,
    *,
    times: int = 4,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[Path], None] = lambda work: None,
    check: Callable[[Path], None] = lambda work: None,
    normal: Callable[[str], str] = lambda text: text,
    timeout: float = 2 * PATIENCE_S,
) -> Outcome:
    """Any program: what it prints, and how it ends, is as without us.

    It is run natively first (once, for all flavours of one command line), then in `flavour`
    with up to `times` cycles at random moments spread over the time that it natively took. One
    that ended before the first of them proved nothing, and is run again with earlier moments.
    `prepare(work)` fills each run's working directory, `check(work)` looks at what a run left
    there, `normal` takes out of an output what may differ.
    """
    key = tuple(map(str, argv))
    if key not in _natively:
        began = time.monotonic()
        outcome = _run_once("native", argv, place, env, prepare, check, timeout, [])
        _natively[key] = outcome, time.monotonic() - began
    native, took = _natively[key]
    dice = random.Random(f"{flavour}-{Path(str(argv[0])).name}-{SEED}")
    for attempt in range(ATTEMPTS):
        moments = sorted(dice.uniform(0, took / 4**attempt) for _ in range(times))
        pauses = [b - a for a, b in zip([0.0, *moments], moments, strict=False)]
        outcome = _run_once(flavour, argv, place, env, prepare, check, timeout, pauses)
        wanted, got = normal(native.output), normal(outcome.output)
        assert got == wanted, (
            f"seed {SEED}: output differs after {outcome.cycles} cycles\n"
            + _difference(wanted, got)
        )
        assert outcome.status == native.status, (
            f"seed {SEED}: ended {outcome.exit}, not {native.exit}"
        )
        if outcome.cycles or flavour not in _CYCLING:
            return outcome
    raise FlavourError(
        f"{' '.join(key)} as {flavour}: it ended {ATTEMPTS} times before it could be caught, and "
        f"nothing was shown (natively it takes {took:.2f} s)"
    )


_natively: dict[tuple[str, ...], tuple[Outcome, float]] = {}
"""How each command line ended natively, and how many seconds it took."""


def _run_once(flavour, argv, place, env, prepare, check, timeout, pauses) -> Outcome:
    with started(flavour, argv, place, env=env, prepare=prepare) as it:
        for pause in pauses:
            if it.wait(pause) is not None or not it.cycle():
                break
        outcome = it.finish(timeout)
        check(it.cwd)
        return outcome


def _difference(wanted: str, got: str) -> str:
    lines = difflib.unified_diff(wanted.splitlines(), got.splitlines(), "native", "got", n=2)
    return "\n".join(list(lines)[:60])

"""Others who have the numbers that a pod had, so that its ids are truly virtual.

The kernel hands out ids upwards and round. Who wants a certain one has three ways, tried in order:

    namespace  a pid namespace, where the next number can be chosen: where an ordinary user may make
               one. The supervisor lives in it, without any of the capabilities that come with it; root's
               has its own, as ever
    round      go round until the number comes: where pid_max is small. It keeps a processor busy,
               and two that go round at once are in each other's way
    elsewhere  nobody can be given the numbers. They stay free, so that the kernel refuses them

Whatever the way, `not_shifted` says if the ids of a restored pod are other ones than its old ones,
and the flavour fails when they are not. ZAPTRACE_TEST_STRANGERS chooses a way.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import born
from harness.world import TESTS, compiled, environment, waited

MAX_OCCUPIED = 256
SMALL_PID_MAX = 1 << 17
PATIENCE_S = 30.0

_AS_ROOT = os.geteuid() == 0
"""Root's programs may become others, which they could not in a user namespace of root's alone."""
_APART = (
    "unshare", *(() if _AS_ROOT else ("--user", "--map-current-user", "--keep-caps")), "--pid",
    "--fork", "--kill-child", "--mount-proc", "--",
)  # fmt: skip
_ORDINARY = () if _AS_ROOT else (
    "setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs",
)  # fmt: skip


class Strangers:
    """`occupy` gives ids to others until `free`; what it says is how far that went."""

    way: str

    def nursery(self) -> born.Nursery:
        """Where the supervisor is forked."""
        return born.nursery()

    def occupy(self, ids: Sequence[int]) -> str:
        raise NotImplementedError

    def free(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.free()


class GoingRound(Strangers):
    way = "round"

    def __init__(self) -> None:
        self._occupier: subprocess.Popen[str] | None = None

    def occupy(self, ids: Sequence[int]) -> str:
        program = compiled(TESTS / "harness" / "occupier.c")
        self._occupier = subprocess.Popen(
            [str(program), *map(str, ids)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        waited.add(self._occupier.pid)
        assert self._occupier.stdout
        return self._occupier.stdout.readline().strip()

    def free(self) -> None:
        if self._occupier:
            assert self._occupier.stdin and self._occupier.stdout
            self._occupier.stdin.close()
            self._occupier.wait(PATIENCE_S)
            self._occupier.stdout.close()
            waited.discard(self._occupier.pid)
            self._occupier = None


class InNamespace(Strangers):
    """The namespace's first process is a nursery, and gives the numbers to others as we ask it to."""

    way = "namespace"

    def nursery(self) -> born.Nursery:
        return born.nursery("namespace", *(("root",) if _AS_ROOT else ()), around=_APART)

    def occupy(self, ids: Sequence[int]) -> str:
        return self.nursery().occupy(ids)

    def free(self) -> None:
        """They hold on to their numbers until others are asked for, or the supervisor ends."""


class Elsewhere(Strangers):
    way = "elsewhere"

    def occupy(self, ids: Sequence[int]) -> str:
        return f"nobody can be given the {len(ids)} old ids here ({_why_not()}): they stay free"

    def free(self) -> None:
        pass


WAYS: dict[str, type[Strangers]] = {c.way: c for c in (InNamespace, GoingRound, Elsewhere)}


if (CHOSEN := os.environ.get("ZAPTRACE_TEST_STRANGERS")) not in (None, *WAYS):
    raise ValueError(f"ZAPTRACE_TEST_STRANGERS={CHOSEN}: the ways are {', '.join(WAYS)}")


def strangers() -> Strangers:
    """By the way that was chosen, or the first that works here."""
    if CHOSEN:
        return WAYS[CHOSEN]()
    if not no_namespace():
        return InNamespace()
    return GoingRound() if pid_max() <= SMALL_PID_MAX else Elsewhere()


def pid_max() -> int:
    return int(Path("/proc/sys/kernel/pid_max").read_text())


@functools.cache
def no_namespace() -> str:
    """Why this user cannot choose numbers in a pid namespace; empty where it can."""
    test = 'echo 200 >/proc/sys/kernel/ns_last_pid && [ "$(sh -c "echo \\$\\$")" = 201 ]'
    try:
        done = subprocess.run(
            [*_APART, *_ORDINARY[:1], "true"], capture_output=True, text=True, timeout=20
        )
        if done.returncode == 0:
            done = subprocess.run(
                [*_APART, "sh", "-c", test], capture_output=True, text=True, timeout=20
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip() or "its numbers are not ours")


def _why_not() -> str:
    return f"pid_max is {pid_max()}; no pid namespace: {no_namespace() or 'not asked for'}"


def not_shifted(
    old: Iterable[int], now: Iterable[Sequence[int]], answers: dict[str, str]
) -> list[str]:
    """What is wrong with the ids of a restored pod, in words; empty when they are shifted.

    `old` are the numbers that its threads had (on the host, and for itself), `now` pairs of what
    each is for the pod and for the host, `answers` what the host's kernel says to signal 0 sent to
    each old number.
    """
    pairs = [(v, r) for v, r in now]
    by_rtid = {r: v for v, r in pairs}
    said = []
    if not pairs:
        said.append("the restored pod has no thread")
    for number in sorted(set(old) | {v for v, _ in pairs}):
        if number in by_rtid:
            said.append(f"{number}, an old number, is a thread of the pod again: {by_rtid[number]}")
        elif answers.get(str(number)) not in ("a stranger", "no such process"):
            said.append(f"{number}, an old number, is {answers.get(str(number), 'not looked at')}")
    return said

"""This host, with nothing in between: what everything else is compared with."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..command_cost import COMPILED, cost
from ..system import PATIENCE_S, Inside, Load, NotOfferedError, System
from ..tools import ended_well, until


def tree(root: int) -> list[int]:
    """A process and all below it."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def states(pids: Sequence[int]) -> list[str]:
    """The state of every thread of these processes, a letter each."""
    return [
        (task / "stat").read_text().rpartition(")")[2].split()[0]
        for pid in pids
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]


def stop_plainly(group: int, pids: Sequence[int], patience_s: float = PATIENCE_S) -> None:
    """Until no thread of any process runs; `pids` are all of the group."""
    os.killpg(group, signal.SIGSTOP)
    until(lambda: set(states(pids)) == {"T"}, "the stop of a group", patience_s, pause=0)


class NativeLoad(Load):
    """Processes of a group of their own."""

    def __init__(self, argv: Sequence[str], out: Path) -> None:
        self.out = out
        with out.open("wb") as file:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=file, cwd=out.parent, start_new_session=True
            )
        self.pid = self._process.pid
        self._pids: list[int] = []

    def freeze(self) -> None:
        self._pids = self._pids or tree(self._process.pid)
        stop_plainly(self._process.pid, self._pids)

    def thaw(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class NativeInside(Inside):
    """`before` comes in front of every command: strace and its like are told in the same way."""

    def __init__(self, place: Path, before: Sequence[str] = ()) -> None:
        self._place, self._before, self._count = place, [*before], 0

    def run(self, argv: Sequence[str], patience_s: float = PATIENCE_S) -> str:
        return ended_well([*self._before, *argv], patience_s, cwd=self._place)

    def start(self, argv: Sequence[str]) -> Load:
        self._count += 1
        return NativeLoad([*self._before, *argv], self._place / f"out-{self._count}")

    def start_anew(self) -> tuple[float, float | None]:
        return cost([*self._before, "true"])

    def command(self, case: str, place: Path) -> list[tuple[str, float, str]]:
        """The least that a program in Python takes."""
        if case not in ("help", "completion"):
            raise NotOfferedError("has no such command")
        clock, busy = cost([sys.executable, "-c", "pass"], COMPILED)
        return [("clock", clock, "ms"), ("cpu", busy, "ms")]


class Native(System):
    name = "native"
    about = "this host, nothing in between"
    usual = True

    def version(self) -> str:
        return f"Linux {platform.release()}"

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        yield NativeInside(place)

"""What it costs to look at every system call from outside: strace and proot, by their usual means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..system import Inside, System
from ..tools import first_line
from .native import NativeInside

_EXPERIMENTS = ("run_cost", "one_processor", "applications", "start")


class Strace(System):
    name = "strace"
    about = "ptrace stops at both ends of every call, written to nowhere (strace -f)"
    programs = ("strace",)
    packages = ("strace",)

    def version(self) -> str:
        return first_line(["strace", "--version"])

    def supports(self, experiment: str) -> bool:
        return experiment in _EXPERIMENTS

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        yield NativeInside(place, ["strace", "-f", "-qq", "-o", "/dev/null"])


class Proot(System):
    name = "proot"
    about = "paths translated by ptrace, with seccomp to stop only where needed (proot -r /)"
    programs = ("proot",)
    packages = ("proot",)

    def version(self) -> str:
        return "proot " + first_line(["dpkg-query", "-W", "-f", "${Version}\n", "proot"])

    def supports(self, experiment: str) -> bool:
        return experiment in _EXPERIMENTS

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        yield NativeInside(place, ["proot", "-r", "/"])

"""DMTCP: libraries loaded in front of a program's own, which save it and make it again.

By its usual commands and its manual, where it is installed: the distribution that this was written on
has no package of it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..system import PATIENCE_S, Inside, Load, RefusedError, System
from ..tools import ended_well, first_line, until
from .native import NativeInside

SOURCES = "https://github.com/dmtcp/dmtcp (./configure && make && make install)"


def candidate(package: str) -> str:
    """What apt would install; empty where there is no apt to ask."""
    if not shutil.which("apt-cache"):
        return ""
    said = ended_well(["apt-cache", "policy", package])
    found = re.search(r"Candidate: (\S+)", said)
    return found[1] if found else "(none)"


class Coordinator:
    """One for all that belong together; it goes when the last of them has gone."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place, file = place, place / "port"
        ended_well(
            ["dmtcp_coordinator", "--daemon", "--quiet", "--exit-on-last", "--coord-port", "0",
             "--port-file", str(file), "--ckptdir", str(place)],
        )  # fmt: skip
        until(lambda: file.exists() and bool(file.read_text().strip()), "its port", pause=0.005)
        self.joined = ["--join-coordinator", "--coord-port", file.read_text().strip()]

    def __call__(self, request: str) -> None:
        ended_well(["dmtcp_command", *self.joined[1:], request])

    def launch(self, argv: Sequence[str]) -> list[str]:
        return ["dmtcp_launch", "--quiet", *self.joined, "--ckptdir", str(self.place), *argv]


class DmtcpLoad(Load):
    def __init__(self, argv: Sequence[str], out: Path) -> None:
        self.out, self._made = out, 1
        self._coordinator = Coordinator(out.with_suffix(".dmtcp-1"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._begin(self._coordinator.launch(argv))

    def _begin(self, argv: Sequence[str]) -> None:
        with self.out.open("ab") as file:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL,
                cwd=self.out.parent, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)

    def suspend(self, to: Path) -> None:
        """Its files are in the coordinator's directory until they are moved."""
        self._coordinator("--bcheckpoint")
        self.close()
        to.mkdir()
        for image in self._coordinator.place.glob("ckpt_*.dmtcp"):
            image.rename(to / image.name)

    def resume(self, state: Path) -> None:
        self._made += 1
        self._coordinator = Coordinator(self.out.with_suffix(f".dmtcp-{self._made}"))
        images = [str(path) for path in state.glob("*.dmtcp")]
        self._begin(["dmtcp_restart", "--quiet", *self._coordinator.joined, *images])

    def close(self) -> None:
        with contextlib.suppress(RefusedError):  # there may be nobody left who answers
            self._coordinator("--kill")
        for process in self._processes:
            process.wait(PATIENCE_S)


class DmtcpInside(NativeInside):
    def run(self, argv: Sequence[str], patience_s: float = PATIENCE_S) -> str:
        self._count += 1
        coordinator = Coordinator(self._place / f"run-{self._count}")
        return ended_well(coordinator.launch(argv), patience_s, cwd=self._place)

    def start(self, argv: Sequence[str]) -> Load:
        self._count += 1
        return DmtcpLoad(argv, self._place / f"out-{self._count}")


class Dmtcp(System):
    name = "dmtcp"
    about = "libraries in front of a program's own, which save and make it again (dmtcp_launch)"
    programs = ("dmtcp_coordinator", "dmtcp_launch", "dmtcp_command", "dmtcp_restart")
    packages = ("dmtcp",)

    def missing(self) -> str | None:
        """The usual line only where it would work."""
        line = super().missing()
        if line and candidate("dmtcp") == "(none)":
            return f"no package of this distribution, build it from {SOURCES}"
        return line

    def version(self) -> str:
        return first_line(["dmtcp_launch", "--version"])

    def supports(self, experiment: str) -> bool:
        return experiment in ("run_cost", "applications", "suspend", "units")

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        yield DmtcpInside(place)

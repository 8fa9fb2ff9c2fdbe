"""What the tests found of each kernel object in each flavour, as a page: docs/carried.md.

ZAPTRACE_TEST_MATRIX names the file that a run writes (`make carried` does so). Rows are the programs
of tests/programs, each told by its own first sentence; what was not run is a reason, never a gap.
"""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

import pytest

from harness.flavours import ALL
from harness.world import PROGRAMS

COLUMNS = (*ALL, "three times")
_TEST = re.compile(r"tests/test_programs\.py::test_program(_three_times_over)?\[([^\]]+)\]$")
_CACHED = "zaptrace/carried"
_HEAD = """\
<!-- written by the tests; refresh with: make carried -->

# What is carried

Each row is a program of `tests/programs` that holds one thing, waits until it was frozen, checkpointed,
restored or moved, and then proves that the thing is what it was. The columns are what happened to it
meanwhile (`tests/harness/flavours.py` tells them apart). ✓ is a program that found everything right, ✗
one that did not; a letter is a reason for which it was not tried, below the table.

"""


def sentence(program: Path) -> str:
    """The first sentence of a program's first comment."""
    text = program.read_text(encoding="utf-8").partition("/*")[2].partition("*/")[0]
    lines = [line.strip(" *") for line in text.splitlines()]
    words = " ".join(line for line in lines if not line.startswith("zt-cc:")).strip()
    first = re.match(r".*?[.;](?=\s|$)", words)
    return (first[0] if first else words).rstrip(".:;")


class Matrix:
    """A plugin of pytest's, in the process that hands tests out: writes the page at `path` at the end.

    A run that leaves a program out of a column writes none, and fails; one of what failed last
    (--last-failed) goes on from there.
    """

    def __init__(self, path: Path, config: pytest.Config) -> None:
        self._path = path
        self._config = config
        self._outcomes: dict[tuple[str, str], str] = {}
        self._reasons: list[str] = []
        before = config.cache.get(_CACHED, {}) if config.cache and config.getoption("lf") else {}
        for program, column, outcome in before.get("outcomes", ()):
            self._outcomes[program, column] = outcome
        self._reasons += before.get("reasons", ())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes a report if it is of a program in a flavour."""
        if (found := _TEST.search(report.nodeid)) is None:
            return
        name, _, flavour = found[2].rpartition("-")
        key = (found[2], COLUMNS[-1]) if found[1] else (name, flavour)
        if report.failed:
            self._outcomes[key] = "✗"
        elif report.skipped:
            self._outcomes[key] = self._letter(report)
        elif report.when == "call":
            self._outcomes[key] = "✓"

    def pytest_sessionfinish(self) -> None:
        """Writes the page."""
        programs = sorted(PROGRAMS.glob("*.c"))
        wanted = {(program.stem, column) for program in programs for column in COLUMNS}
        if missing := sorted(wanted - set(self._outcomes)):
            first = " as ".join(missing[0])
            raise RuntimeError(
                f"no {self._path}: {len(missing)} were not run, {first} to begin with"
            )
        self._path.write_text(self._page(programs), encoding="utf-8")
        if self._config.cache:
            found = [[*key, outcome] for key, outcome in self._outcomes.items()]
            self._config.cache.set(_CACHED, {"outcomes": found, "reasons": self._reasons})

    def _letter(self, report: pytest.TestReport) -> str:
        at = report.longrepr
        reason = at[2].removeprefix("Skipped: ") if isinstance(at, tuple) else str(at)
        if reason not in self._reasons:
            self._reasons.append(reason)
        return chr(ord("a") + self._reasons.index(reason))

    def _page(self, programs: list[Path]) -> str:
        who = "root" if os.geteuid() == 0 else "an ordinary user without capabilities"
        day = time.strftime("%Y-%m-%d", time.gmtime())
        lines = [f"Written on {day}, under Linux {platform.release()}, by {who}.", ""]
        lines.append(f"| program | what it holds | {' | '.join(COLUMNS)} |")
        lines.append(f"| --- | --- |{' :-: |' * len(COLUMNS)}")
        for program in programs:
            cells = [self._outcomes[program.stem, column] for column in COLUMNS]
            told = sentence(program).replace("|", "\\|")
            lines.append(f"| `{program.stem}` | {told} | {' | '.join(cells)} |")
        lines += ["", *(f"- {chr(ord('a') + n)}: {why}" for n, why in enumerate(self._reasons))]
        return _HEAD + "\n".join(lines).rstrip() + "\n"

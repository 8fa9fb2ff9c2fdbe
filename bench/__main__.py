"""python -m bench [EXPERIMENT ...] [--systems SYSTEM ...] [--rounds N] [--out DIR]
python -m bench compare A B       what differs between two results by more than chance
python -m bench join OUT A B ...  several results, of an experiment each, as one in OUT
python -m bench page A B ...      results as docs/performance.md

Measures, and writes samples, a report and drawings to bench/results/DATE/ (or DIR).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path

from . import compare, found, keeper, page, plots, report, samples
from .runner import Runner
from .tools import ROOT


def parser(systems: list[str], experiments: list[str]) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"{__doc__}\nexperiments: {' '.join(experiments)}\nsystems:     {' '.join(systems)}",
    )
    made.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="all, when none is named"
    )
    made.add_argument(
        "--systems", nargs="+", metavar="SYSTEM", help="native and zaptrace, when none is named"
    )
    made.add_argument("--all", action="store_true", help="every system, when none is named")
    made.add_argument(
        "--rounds", type=int, metavar="N", help="instead of what each experiment takes"
    )
    made.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        default=math.inf,
        help="about so long: later rounds are left out, never the first",
    )
    made.add_argument(
        "--cases",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="those alone that have this in their name",
    )
    made.add_argument("--quick", action="store_true", help="seconds: to see that all of it works")
    made.add_argument("--out", type=Path, metavar="DIR", help="instead of bench/results/DATE")
    return made


class Display:
    """One line that is written over where there is a terminal; else one at each tenth."""

    def __init__(self) -> None:
        self._tenth, self._seen = -1, ""

    def __call__(self, what: str, at: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{at}/{total} {what}", end="", file=sys.stderr, flush=True)
            return
        tenth = 10 * at // total if total else 0
        if (self._seen, self._tenth) != (what.partition(":")[0], tenth):
            self._seen, self._tenth = what.partition(":")[0], tenth
            print(f"{at}/{total} {what}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def save(results: samples.Results, out: Path) -> Path:
    """Samples first: they are what cannot be had again."""
    out.mkdir(parents=True, exist_ok=True)
    samples.write(results, out)
    drawn = plots.draw(results, out)
    text = report.report(results, found.experiments(), found.systems(), drawn)
    if not plots.drawable():
        text += "\nNo drawings: `pip install matplotlib`.\n"
    (out / report.NAME).write_text(text)
    return out / report.NAME


def read(directories: list[str]) -> samples.Results:
    return samples.joined([samples.read(Path(directory)) for directory in directories])


def measure(argv: list[str]) -> int:
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where some rivals lie, on no user's path
    systems, experiments = found.systems(), found.experiments()
    asked = parser([*systems], [*experiments]).parse_args(argv)
    chosen = found.asked(asked.experiments or [*experiments], experiments, "experiment")
    usual = [name for name, system in systems.items() if system.usual]
    names = asked.systems or ([*systems] if asked.all else usual)
    display = Display()
    runner = Runner(
        found.asked(names, systems, "system"),
        rounds=asked.rounds or (1 if asked.quick else None),
        quick=asked.quick,
        only=asked.cases,
        progress=display,
    )
    out = asked.out or ROOT / "bench" / "results" / time.strftime("%Y-%m-%dT%H%M%S")
    until = time.monotonic() + 60 * asked.minutes
    shares = sum(experiment.share for experiment in chosen.values())
    try:
        for name, experiment in chosen.items():
            runner.run(experiment, (until - time.monotonic()) * experiment.share / shares)
            shares -= experiment.share
            display.clear()
            print(
                f"\n{experiment.title}: min, median, max\n{report.terminal(runner.results, name)}"
            )
    except KeyboardInterrupt:
        display.clear()
        print("bench: stopped; what follows was measured until then", file=sys.stderr)
        return 130
    finally:
        print(f"\n{save(runner.results, out)}")
    return any(void.why == "wrong" for void in runner.results.voids)


def main() -> int:
    if sys.argv[1:2] == ["compare"]:
        if len(sys.argv) != 4:
            raise SystemExit("usage: python -m bench compare A B")
        compare.main(sys.argv[2], sys.argv[3])
        return 0
    if sys.argv[1:2] == ["join"]:
        if len(sys.argv) < 4:
            raise SystemExit("usage: python -m bench join OUT A B ...")
        print(save(read(sys.argv[3:]), Path(sys.argv[2])))
        return 0
    if sys.argv[1:2] == ["page"]:
        if len(sys.argv) < 3:
            raise SystemExit("usage: python -m bench page A B ...")
        print(page.page(read(sys.argv[2:]), found.experiments(), found.systems()), end="")
        return 0
    return keeper.kept(lambda: measure(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

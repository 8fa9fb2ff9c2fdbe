"""Samples: one number each with what it was measured under; nothing is ever left out or averaged.

On disk they are JSON lines: one that says what the run was ({"kind": "run"}), then one per sample
({"kind": "sample"}), and one for each that there was not ({"kind": "void"}), with the reason. Several
results are one when each was read (`joined`).
"""

from __future__ import annotations

import json
import lzma
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

NAME = "samples.jsonl"
PACKED = "samples.jsonl.xz"
BASE = "native"


@dataclass(frozen=True)
class Sample:
    experiment: str
    case: str
    system: str
    round: int
    figure: str
    unit: str
    value: float
    load: float
    """The host's load average of one minute when it was taken."""


@dataclass(frozen=True)
class Void:
    """A sample that there is not. `why` is missing, refused, not offered, wrong, late or ENDLESS."""

    experiment: str
    case: str
    system: str
    round: int
    why: str
    said: str


ENDLESS = "does not converge"
Key = tuple[str, str, str]
"""Experiment, case, figure: one row of a table."""


@dataclass
class Results:
    run: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    voids: list[Void] = field(default_factory=list)

    parts: list[dict[str, Any]] = field(default_factory=list)
    """What each run was, where several were joined."""

    def runs(self) -> list[dict[str, Any]]:
        return self.parts or [self.run]

    def rows(self) -> list[Key]:
        return list(dict.fromkeys((s.experiment, s.case, s.figure) for s in self.samples))

    def of(self, key: Key, system: str) -> list[Sample]:
        return [
            s
            for s in self.samples
            if (s.experiment, s.case, s.figure) == key and s.system == system
        ]

    def endless(self, key: Key, system: str) -> bool:
        """That it came to no end is its result."""
        return any(
            (v.experiment, v.case, v.system, v.why) == (*key[:2], system, ENDLESS)
            for v in self.voids
        )

    def systems(self, experiment: str | None = None) -> list[str]:
        """In the order of the run."""
        told = [s.system for s in self.samples if experiment in (None, s.experiment)]
        return sorted({*told}, key=[*self.run.get("systems", ()), *told].index)

    def ratios(self, key: Key, system: str, base: str = BASE) -> list[float]:
        """To `base`, round by round: a slow moment of the host hits both."""
        below: dict[int, list[float]] = {}
        for sample in self.of(key, base):
            below.setdefault(sample.round, []).append(sample.value)
        return [
            sample.value / statistics.median(below[sample.round])
            for sample in self.of(key, system)
            if statistics.median(below.get(sample.round, [0]))
        ]


def joined(results: Sequence[Results]) -> Results:
    """One of several. Rounds of what was measured more than once are counted on, so that a ratio stays
    within its round."""
    first, *more = results
    if not more:
        return first
    runs = [run for one in results for run in one.runs()]
    whole = Results(run=_whole(runs), parts=runs)
    for one in results:
        there = {s.round for s in whole.samples} | {v.round for v in whole.voids}
        on = max(there, default=-1) + 1
        twice = {(s.experiment, s.case) for s in whole.samples}
        for s in one.samples:
            again = (s.experiment, s.case) in twice
            whole.samples.append(replace(s, round=s.round + on) if again else s)
        whole.voids += one.voids
    return whole


def _whole(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first of some runs, with the systems of all."""
    made = dict(runs[0])
    for key in ("versions", "words"):
        made[key] = {name: told for run in runs for name, told in run.get(key, {}).items()}
    made["systems"] = [*dict.fromkeys(name for run in runs for name in run.get("systems", ()))]
    return made


def write(results: Results, directory: Path) -> Path:
    path = directory / NAME
    lines = [{"kind": "run"} | run for run in results.runs()]
    lines += [{"kind": "sample"} | asdict(sample) for sample in results.samples]
    lines += [{"kind": "void"} | asdict(void) for void in results.voids]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path) -> Results:
    """Of a file, or of a directory with one; packed (xz), too. SystemExit for what is none."""
    if path.is_dir():
        path = path / NAME if (path / NAME).exists() else path / PACKED
    unpack = lzma.open if path.suffix == ".xz" else open
    results = Results()
    try:
        with unpack(path, "rt", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        for line in lines:
            match line.pop("kind"):
                case "run":
                    results.parts.append(line)
                case "sample":
                    results.samples.append(Sample(**line))
                case "void":
                    results.voids.append(Void(**line))
        _, *more = runs = results.parts
        results.run, results.parts = _whole(runs), runs if more else []
    except (OSError, ValueError, KeyError, TypeError, lzma.LZMAError) as error:
        raise SystemExit(f"bench: {path} holds no results: {error}") from None
    return results


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Min, median and max."""
    return min(values), statistics.median(values), max(values)


def loads(samples: Iterable[Sample]) -> tuple[float, float]:
    """The least and the greatest load average beside some samples."""
    told = [sample.load for sample in samples]
    return (min(told), max(told)) if told else (0.0, 0.0)

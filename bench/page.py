"""python -m bench page A B ...: results as docs/performance.md, what others do better first.

Numbers are made of samples alone, so the page cannot say what was not measured; why they are as they are is
told by hand (bench/explained.py).
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence

from .experiment import Experiment
from .explained import explained
from .report import number, runs, table_of
from .samples import BASE, ENDLESS, Key, Results, loads
from .system import System

OURS, MOVED = "zaptrace-fresh", "zaptrace-moved"
AHEAD = 0.95
"""A rival is ahead whose median is below ours by so much."""
WORST = 5
MACHINES = ("qemu-minimal", "qemu-microvm", "qemu-server")
NAMED = {"all", "quick"}
"""Cases of which there is one: they say nothing."""


def median(results: Results, key: Key, system: str) -> float | None:
    samples = results.of(key, system)
    return statistics.median([s.value for s in samples]) if samples else None


def what(key: Key) -> str:
    return ", ".join(dict.fromkeys(part for part in key[1:] if part not in NAMED))


def unit(results: Results, key: Key) -> str:
    return next(s.unit for s in results.samples if (s.experiment, s.case, s.figure) == key)


def _told(value: float | None) -> str:
    return "-" if value is None else number(value)


def ahead(results: Results) -> Iterator[tuple[Key, str, float, float]]:
    """Where a rival is: figure, rival, its median, ours; the greatest lead first."""
    found = []
    for key in results.rows():
        ours = median(results, key, OURS)
        for system in results.systems(key[0]):
            theirs = median(results, key, system)
            rival = system != BASE and not system.startswith("zaptrace")
            if rival and ours and theirs is not None and theirs < AHEAD * ours:
                found.append((theirs / ours, key, system, theirs, ours))
    for _, key, system, theirs, ours in sorted(found):
        yield key, system, theirs, ours


def worst(results: Results) -> list[tuple[float, Key, str]]:
    """Our greatest ratios to native."""
    found = [
        (statistics.median(ratios), key, system)
        for key in results.rows()
        for system in (OURS, MOVED)
        if key[0] in ("run_cost", "applications") and (ratios := results.ratios(key, system))
    ]
    return sorted(found, reverse=True)[:WORST]


def _first(results: Results) -> list[str]:
    """Who is ahead, of what, by how much at most, and what bounds us there."""
    groups: dict[tuple[str, str], list[tuple[Key, float, float]]] = {}
    for key, system, theirs, ours in ahead(results):
        groups.setdefault((key[0], system), []).append((key, theirs, ours))
    if not groups:
        return ["No rival of this run is ahead of us in anything that was measured."]
    said = ["Where others are ahead of a pod, and what bounds us there:", ""]
    for experiment in dict.fromkeys(name for name, _ in groups):
        parts = []
        for (name, system), leads in groups.items():
            if name == experiment:
                key, theirs, ours = leads[0]
                both = [k for k in results.rows() if k[0] == name and results.of(k, system)]
                u = unit(results, key)
                parts.append(
                    f"{system} in {len(leads)} of {len(both)} figures, most in {what(key)} "
                    f"({number(theirs)} {u}, we {number(ours)} {u})"
                )
        bound = explained(experiment).partition("\n\n")[0]
        said.append(f"- In `{experiment}`: {'; '.join(parts)}." + (f" {bound}" if bound else ""))
    return said


def _shape(results: Results) -> list[str]:
    """What Zap's paper showed, in one table: overhead near none, suspend and resume, sizes."""
    machines = [m for m in MACHINES if m in results.systems("suspend")]
    lines = []
    for experiment, of in (("run_cost", "calls"), ("applications", "applications")):
        for system in (OURS, MOVED):
            ratios = [
                statistics.median(r)
                for key in results.rows()
                if key[0] == experiment and key[2] != "with its preparations"
                if (r := results.ratios(key, system))
            ]
            if ratios:
                close = sum(ratio <= 1.1 for ratio in ratios)
                lines.append(
                    f"- overhead of {system}: {close} of {len(ratios)} {of} take at most a tenth more than "
                    f"natively; the median ratio is {number(statistics.median(ratios))}, the greatest "
                    f"{number(max(ratios))}"
                )
    rows = [["pod / " + " / ".join(machines), "suspend, s", "resume, s", "state, MiB"]]
    cases = dict.fromkeys(key[1] for key in results.rows() if key[0] == "suspend")
    for case in cases:
        row = [case]
        for figure, scale in (("suspend", 1e-3), ("resume", 1e-3), ("state", 1.0)):
            of = [median(results, ("suspend", case, figure), s) for s in (OURS, *machines)]
            row.append(" / ".join(_told(None if m is None else m * scale) for m in of))
        rows.append(row)
    if cases:
        lines += ["", *table_of(rows)]
    return ["## The shape of it", "", *lines, ""] if lines else []


def _medians(results: Results, keys: Sequence[Key], systems: Sequence[str]) -> list[list[str]]:
    rows = [["", *systems]]
    for key in keys:
        cells = []
        for system in systems:
            ratios = results.ratios(key, system) if system != BASE else []
            more = f" ×{number(statistics.median(ratios))}" if ratios else ""
            none = ENDLESS if results.endless(key, system) else "-"
            told = median(results, key, system)
            cells.append(none if told is None else number(told) + more)
        rows.append([f"{what(key)}, {unit(results, key)}", *cells])
    return rows


def _named(command: Sequence[str], experiments: Mapping[str, Experiment], name: str) -> bool:
    """That a run was of this one: of those that it names, or of all."""
    named = {word for word in command if word in experiments}
    return not named or name in named


def _tables(results: Results, experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """A table for each experiment; one for each figure where that has cases."""
    for name in dict.fromkeys(key[0] for key in results.rows()):
        experiment, there = experiments.get(name), results.systems(name)
        words = results.run.get("words", {})
        under = sorted({words[s] for s in there if s in words})
        title = experiment.title if experiment else name
        yield f"## {title}" + (f" ({'; '.join(under)})" if under else "")
        yield ""
        made = [run["command"] for run in results.runs()]
        by = [f"`{shlex.join(line)}`" for line in made if _named(line, experiments, name)]
        low, high = loads(s for s in results.samples if s.experiment == name)
        yield (
            (experiment.about + " " if experiment else "")
            + f"Made by {', '.join(by)}. Load average beside the samples: {low:.2f} to {high:.2f}."
        )
        yield ""
        keys = [key for key in results.rows() if key[0] == name]
        cases = dict.fromkeys(key[1] for key in keys)
        figures = dict.fromkeys(key[2] for key in keys)
        groups = [[k for k in keys if k[2] == f] for f in figures] if len(cases) > 1 else [keys]
        for group in groups:
            systems = [s for s in there if any(results.of(key, s) for key in group)]
            yield from table_of(_medians(results, group, systems))
        if told := explained(name):
            yield told
            yield ""


def _not_measured(results: Results) -> list[str]:
    """Once for each reason, with all cases that it took."""
    there: dict[str, set[str]] = {}
    told: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for v in (*results.samples, *results.voids):
        there.setdefault(v.experiment, set()).add(v.case)
    for v in results.voids:
        cases = told.setdefault((v.system, v.why, v.said), {}).setdefault(v.experiment, [])
        if v.case not in cases:
            cases.append(v.case)
    if not told:
        return []
    lines = ["## What there is no number for", ""]
    for (system, why, said), by in told.items():
        where = [
            name if there[name] <= {*cases, ""} or cases == [""] else f"{name}: {'; '.join(cases)}"
            for name, cases in by.items()
            if name
        ]
        lines.append(f"- {system}, {why}: {said}" + (f" ({', '.join(where)})" if where else ""))
    return [*lines, ""]


def _worst(results: Results) -> list[str]:
    far = worst(results)
    if not far:
        return []
    lines = ["## Our worst, next to native", ""]
    lines += [f"- {what(key)}, {system}: {number(ratio)} times" for ratio, key, system in far]
    return [*lines, "", explained("profiles"), ""]


def page(
    results: Results, experiments: Mapping[str, Experiment], systems: Mapping[str, System]
) -> str:
    lines = ["# Performance", "", *_first(results), ""]
    lines += [*_shape(results), *_worst(results)]
    lines += ["## Where and with what", "", *runs(results), ""]
    lines += [
        "Medians, and where there is a ratio to native (×) it is the median of those of each round. Less "
        "is better everywhere. `-`: there is no number, and [the last part]"
        "(#what-there-is-no-number-for) says why. The result's own report (`python -m bench join OUT A B "
        "...`) has the spread, the number of samples and the load beside them; "
        "[benchmarks](benchmarks.md) tells how it is measured.",
        "",
    ]
    lines += table_of(
        [
            ["system", "what it is", "version"],
            *(
                [name, systems[name].about if name in systems else "", version]
                for name, version in results.run["versions"].items()
            ),
        ]
    )
    return "\n".join([*lines, *_tables(results, experiments), *_not_measured(results)])

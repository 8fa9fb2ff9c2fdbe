"""A result as Markdown, for who was not there: what was measured and how, every number with its spread,
what was not to be had and why."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from .experiment import Experiment
from .samples import BASE, ENDLESS, Key, Results, Sample, loads, spread
from .system import System

NAME = "report.md"


def number(value: float) -> str:
    """Three digits that count, and no exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"


def cell(samples: Sequence[Sample], ratios: Sequence[float]) -> str:
    low, middle, high = map(number, spread([sample.value for sample in samples]))
    told = f"**{middle}** ({low} to {high}; {len(samples)})"
    return told + (f" ×{number(statistics.median(ratios))}" if ratios else "")


def table_of(rows: Iterable[Sequence[str]]) -> list[str]:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return [f"| {' | '.join(cells)} |" for cells in lines] + [""]


def table(results: Results, keys: Sequence[Key], systems: Sequence[str]) -> list[str]:
    """A row for each key, a column for each system."""
    rows = [["", "", *systems]]
    for key in keys:
        row = []
        for system in systems:
            samples = results.of(key, system)
            ratios = results.ratios(key, system) if system != BASE else []
            none = ENDLESS if results.endless(key, system) else "-"
            row.append(cell(samples, ratios) if samples else none)
        unit = next(s.unit for s in results.samples if (s.experiment, s.case, s.figure) == key)
        rows.append([key[1] if key[1] not in ("all", "quick") else "", f"{key[2]}, {unit}", *row])
    return table_of(rows)


def voids(results: Results, experiment: str) -> list[str]:
    """One line for each reason, however many samples it took."""
    told: dict[tuple[str, str, str, str], int] = {}
    for v in results.voids:
        if v.experiment == experiment:
            key = (v.system, v.case, v.why, v.said)
            told[key] = told.get(key, 0) + 1
    if not told:
        return []
    lines = ["Samples that there are not:", ""]
    for (system, case, why, said), count in told.items():
        times = f" ({count} times)" if count > 1 else ""
        lines.append(f"- {system}{', ' + case if case else ''}: {why}{times}: {said}")
    return [*lines, ""]


def host_of(run: dict[str, Any]) -> str:
    host = run["host"]
    return (
        f"{host['cpus']} processors ({host['processor']}), {host['memory_gib']} GiB, "
        f"Linux {host['kernel']}, {host['distribution']}, Python {host['python']}, "
        f"user {host['uid']}{', nice ' + str(host['nice']) if 'nice' in host else ''}"
        f"{', itself in a virtual machine' if host['virtual'] else ''}"
    )


def runs(results: Results) -> list[str]:
    """When, by which command, of which tree; on which host, once for those of one."""
    lines: list[str] = []
    where = ""
    for run in results.runs():
        if where != (where := host_of(run)):
            lines += ["", f"{where}:", ""]
        tree = f", zaptrace {run['commit']}" if run["commit"] else ""
        lines.append(f"- {run['when']}: `{shlex.join(run['command'])}`{tree}")
    return lines[1:]


def report(
    results: Results,
    experiments: dict[str, Experiment],
    systems: dict[str, System],
    plots: dict[str, list[str]],
) -> str:
    """`plots` has the names of files for each experiment."""
    run = results.run
    lines = ["# Measured on this host", "", *runs(results), ""]
    lines += [
        "Each cell: **median** (min to max; number of samples), then the median over the rounds of the "
        "ratio to native in the same round (×). Less is better. Systems take turns in each round; no "
        "sample is left out. Every program looks at its own answers: a wrong one is told below as such.",
        "",
    ]
    rows = [["system", "what it is", "version"]]
    rows += [
        [name, systems[name].about if name in systems else "", version]
        for name, version in run["versions"].items()
    ]
    lines += table_of(rows)
    absent = dict.fromkeys(f"- {v.system}: `{v.said}`" for v in results.voids if v.why == "missing")
    if absent:
        lines += ["Not measured, as it is not installed or not allowed:", "", *absent, ""]
    names = dict.fromkeys([s.experiment for s in results.samples])
    names |= dict.fromkeys(v.experiment for v in results.voids if v.experiment)
    for name in names:
        lines += _section(results, name, experiments.get(name), plots.get(name, []))
    return "\n".join(lines)


def _section(
    results: Results,
    name: str,
    experiment: Experiment | None,
    plots: Sequence[str],
) -> list[str]:
    there = results.systems(name)
    words = results.run.get("words", {})
    under = sorted({words[s] for s in there if s in words})
    title = f"## {experiment.title if experiment else name}"
    lines = [title + (f" ({'; '.join(under)})" if under else ""), ""]
    samples = [s for s in results.samples if s.experiment == name]
    low, high = loads(samples)
    if experiment:
        lines += [experiment.about, ""]
    lines += [f"Load average beside the samples: {low:.2f} to {high:.2f}. Samples: `{name}`.", ""]
    keys = [key for key in results.rows() if key[0] == name]
    if keys:
        lines += table(results, keys, there)
    lines += [f"![{name}]({plot})\n" for plot in plots]
    return [*lines, *voids(results, name)]


def terminal(results: Results, experiment: str) -> str:
    """For who watches: the medians alone."""
    lines = []
    for key in results.rows():
        if key[0] != experiment:
            continue
        lines.append(f"  {key[1]}: {key[2]}" if key[1] not in ("all", "quick") else f"  {key[2]}")
        for system in results.systems(experiment):
            if samples := results.of(key, system):
                low, middle, high = map(number, spread([s.value for s in samples]))
                ratios = results.ratios(key, system) if system != BASE else []
                more = f"   ×{number(statistics.median(ratios))}" if ratios else ""
                told = f"{low:>10} {middle:>10} {high:>10} {samples[0].unit}"
                lines.append(f"    {system:<24} {told}{more}")
    return "\n".join(lines + [f"  {line}" for line in voids(results, experiment) if line])

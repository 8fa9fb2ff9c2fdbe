"""python -m bench page DIR: a result as docs/performance.md, what others do better first.

The page is made of samples alone, so it cannot say what was not measured; what it explains is in
WHY, by experiment.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Sequence

from .report import number, table_of
from .samples import BASE, Key, Results

OURS, MOVED = "zaptrace-fresh", "zaptrace-moved"
AHEAD = 0.95
"""A rival is ahead whose median is below ours by so much."""
WORST = 5
WHY = {
    "run_cost": "A call that has work to do in a pod stops its thread for the tracer: two switches of "
    "context and some requests to the kernel, ten microseconds or more. Others pay for every call, we for "
    "these alone; `zaptrace ps --stats POD` counts them.",
    "applications": "What starts many processes pays for their births and execs, each some stops.",
    "suspend": "Ours ends a program only when its image was restored on trial beside it; without that "
    "it is the column of zaptrace-unrehearsed. Images are written and verified page by page.",
    "freeze": "Every thread is brought to a stop in which it can be read, and its clocks are noted.",
    "start": "A pod starts with a supervisor of its own, a program in Python.",
    "commands": "The command line is a program in Python.",
    "many": "Each thing is looked at by itself.",
    "migrate": "Memory is copied while the pod is frozen (pre-copy is to come).",
}


def median(results: Results, key: Key, system: str) -> float | None:
    samples = results.of(key, system)
    return statistics.median([s.value for s in samples]) if samples else None


def what(key: Key) -> str:
    return ", ".join(part for part in key[1:] if part not in ("all", "quick"))


def unit(results: Results, key: Key) -> str:
    return next(s.unit for s in results.samples if (s.experiment, s.case, s.figure) == key)


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


def _ahead(results: Results) -> list[str]:
    told = list(ahead(results))
    if not told:
        return ["No rival of this run is ahead of us in anything that was measured."]
    lines = ["Where others are ahead of a pod in this run, the greatest lead first:", ""]
    for key, system, theirs, ours in told:
        u = unit(results, key)
        lines.append(f"- {what(key)}: {system} {number(theirs)} {u}, we {number(ours)} {u}")
    lines += ["", "What bounds us there:", ""]
    lines += [
        f"- {name}: {WHY[name]}"
        for name in dict.fromkeys(key[0] for key, *_ in told)
        if name in WHY
    ]
    return lines


def _shape(results: Results) -> list[str]:
    """What Zap's paper showed: overhead near none, suspend and resume, sizes."""
    lines = []
    apps = [key for key in results.rows() if key[0] == "applications" and key[2] == "seconds"]
    others = [s for s in results.systems("applications") if s != BASE]
    if apps and others:
        rows = [["application", "natively, s", *(f"{s}, times that" for s in others)]]
        for key in apps:
            cells = []
            for system in others:
                ratios = results.ratios(key, system)
                cells.append(number(statistics.median(ratios)) if ratios else "-")
            base = median(results, key, BASE)
            rows.append([key[1], number(base) if base else "-", *cells])
        lines += ["## Overhead", "", *table_of(rows)]
    for figure, title in (
        ("suspend", "Suspend, ms"), ("resume", "Resume until it answers, ms"),
        ("state", "State on disk, MiB"), ("compressed", "State compressed, MiB"),
    ):  # fmt: skip
        keys = [key for key in results.rows() if key[0] == "suspend" and key[2] == figure]
        systems = [s for s in results.systems("suspend") if any(results.of(k, s) for k in keys)]
        if keys:
            lines += [
                f"## {title}",
                "",
                *table_of([["", *systems], *_medians(results, keys, systems)]),
            ]
    return lines


def _medians(results: Results, keys: Sequence[Key], systems: Sequence[str]) -> list[list[str]]:
    return [
        [key[1], *("-" if (m := median(results, key, s)) is None else number(m) for s in systems)]
        for key in keys
    ]


def _not_measured(results: Results) -> list[str]:
    told = dict.fromkeys(
        (v.system, v.why, v.said)
        for v in results.voids
        if v.why in ("missing", "refused", "wrong", "late")
    )
    if not told:
        return []
    lines = ["## What there is no number for", ""]
    return [*lines, *(f"- {system}: {why}: {said}" for system, why, said in told), ""]


def page(results: Results) -> str:
    run, host = results.run, results.run["host"]
    under = "; ".join(dict.fromkeys(run.get("words", {}).values()))
    lines = ["# Performance", "", *_ahead(results), ""]
    lines += [
        f"Measured on {run['when'][:10]}: {host['cpus']} processors ({host['processor']}), "
        f"{host['memory_gib']} GiB, Linux {host['kernel']}, {host['distribution']}"
        f"{', itself in a virtual machine' if host['virtual'] else ''}"
        f"{'; ' + under if under else ''}. Medians; every sample, its spread and the load beside it "
        f"are in the result's own report. Less is better everywhere.",
        "",
        *_shape(results),
    ]
    if far := worst(results):
        lines += ["## Our worst, next to native", ""]
        lines += [f"- {what(key)}, {system}: {number(ratio)} times" for ratio, key, system in far]
        lines += ["", WHY["run_cost"], ""]
    lines += _not_measured(results)
    versions = ", ".join(f"{name} ({version})" for name, version in run["versions"].items())
    lines += [
        "## Again", "",
        f"`{shlex.join(run['command'])}`, or `make bench-all`; then `python -m bench page DIR`. With: "
        f"{versions}.", "",
    ]  # fmt: skip
    return "\n".join(lines)

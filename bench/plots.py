"""A result as drawings (SVG): each figure's samples for each system, all of them, on a scale of tens."""

from __future__ import annotations

import importlib.util
import statistics
from pathlib import Path

from .samples import Key, Results

ROWS = 10
"""Groups in one drawing."""


def drawable() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _groups(results: Results, experiment: str) -> dict[tuple[str, str], list[Key]]:
    """Keys that share a drawing: those of one unit; by case, or by figure where cases are many."""
    groups: dict[tuple[str, str], list[Key]] = {}
    for key in results.rows():
        if key[0] == experiment:
            unit = next(s.unit for s in results.samples if (s.experiment, s.case, s.figure) == key)
            groups.setdefault((experiment, unit), []).append(key)
    return groups


def draw(results: Results, directory: Path) -> dict[str, list[str]]:
    """Names of the files written, by experiment; none without the library that draws."""
    if not drawable():
        return {}
    made: dict[str, list[str]] = {}
    for experiment in dict.fromkeys(s.experiment for s in results.samples):
        for (_, unit), keys in _groups(results, experiment).items():
            for at in range(0, len(keys), ROWS):
                name = (
                    f"{experiment}-{unit.replace('µ', 'u').replace('/', '-per-')}-{at // ROWS}.svg"
                )
                _draw(results, keys[at : at + ROWS], unit, directory / name.replace(" ", "-"))
                made.setdefault(experiment, []).append(name.replace(" ", "-"))
    return made


def _draw(results: Results, keys: list[Key], unit: str, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "zaptrace"
    from matplotlib import pyplot

    systems = results.systems(keys[0][0])
    figure, axes = pyplot.subplots(figsize=(9, 0.8 + 0.17 * len(keys) * (len(systems) + 2)))
    step = 0.8 / len(systems)
    for number, system in enumerate(systems):
        xs, ys, middles, places = [], [], [], []
        for row, key in enumerate(keys):
            values = [max(s.value, 1e-9) for s in results.of(key, system)]
            y = row - 0.4 + step * (number + 0.5)
            xs += values
            ys += [y] * len(values)
            if values:
                middles.append(statistics.median(values))
                places.append(y)
        colour = f"C{number % 10}"
        axes.plot(xs, ys, ".", color=colour, alpha=0.5, markersize=4)
        axes.plot(middles, places, "|", color=colour, markersize=9, label=system)
    labels = [" ".join(part for part in key[1:] if part not in ("all", "quick")) for key in keys]
    axes.set_yticks(range(len(keys)), labels)
    axes.set_xscale("log")
    axes.set_xlabel(f"{unit}, less is better; | is the median")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)

"""python -m bench compare A B: what differs between two results by more than chance.

A rank test for every figure that both have of a system; as many are looked at at once, chances are
corrected (Holm). With few rounds no difference is certain: three against three cannot be below 0.1.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from .ranks import p_value
from .samples import Key, Results, read

CERTAIN = 0.05


@dataclass(frozen=True)
class Change:
    key: Key
    system: str
    unit: str
    before: float
    after: float
    n: tuple[int, int]
    p: float
    """After the correction for how many were looked at."""

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before else float("inf")


def changes(before: Results, after: Results) -> list[Change]:
    """Every figure that both have, the least likely by chance first."""
    found = []
    for key in before.rows():
        for system in before.systems(key[0]):
            a, b = before.of(key, system), after.of(key, system)
            if a and b:
                x, y = [s.value for s in a], [s.value for s in b]
                middle = statistics.median(x), statistics.median(y)
                found.append(
                    Change(key, system, a[0].unit, *middle, (len(x), len(y)), p_value(x, y))
                )
    found.sort(key=lambda change: change.p)
    worst, corrected = 0.0, []
    for at, change in enumerate(found):
        worst = max(worst, min(1.0, change.p * (len(found) - at)))
        corrected.append(Change(**(vars(change) | {"p": worst})))
    return corrected


def told(found: list[Change]) -> str:
    certain = [change for change in found if change.p < CERTAIN]
    lines = [
        f"{len(found)} figures are in both; {len(certain)} differ by more than chance (p < 0.05)"
    ]
    for c in sorted(certain, key=lambda c: c.ratio):
        word = "less" if c.ratio < 1 else "more"
        lines.append(
            f"  {word} {c.ratio:8.3f}  {'/'.join(dict.fromkeys(c.key))}, {c.system}: "
            f"{c.before:.4g} to {c.after:.4g} {c.unit} (n {c.n[0]}, {c.n[1]}; p {c.p:.2g})"
        )
    return "\n".join(lines)


def main(a: str, b: str) -> None:
    print(told(changes(read(Path(a)), read(Path(b)))))

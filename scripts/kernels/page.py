"""What was seen, as tables, and where docs/hosts.md has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from machine import Machine
from steps import Step

BEGIN, END = "<!-- make kernels writes this -->", "<!-- as far as here -->"
_LONGEST = 240
"""Of what a row says of a failure; what is said in full lies in build/kernels."""


class Seen:
    """What one step came to, or the part of it that is about one other machine's images."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.well: list[str] = []
        self.otherwise: list[str] = []
        """Refused by name, as it has to be; of tests: skipped."""
        self.wrong: list[str] = []
        """Each with what failed."""
        if not step.has_ended:
            self.wrong.append(f"the machine did not come to its end: {step.last_words}")

    def add(self, name: str, result: str, *, right: bool, well: bool) -> None:
        if not right:
            self.wrong.append(f"`{name}` {result}")
        else:
            (self.well if well else self.otherwise).append(name)


def of_machines(
    machines: Iterable[Machine], made: Mapping[Machine, Seen], tested: Mapping[Machine, Seen]
) -> str:
    heads = ("kernel", "processor, and more", "seen on", "no, says `zaptrace check`", "images made")
    heads += ("level refused, as it has to be", "tests passed", "skipped", "wrong")
    rows = []
    for m in machines:
        images, tests = made.get(m), tested.get(m)
        if not images:
            rows.append((m.series, m.words, *["not run"] * 7))
            continue
        step = images.step
        counts = (str(len(tests.well)), str(len(tests.otherwise))) if tests else ("not run",) * 2
        wrong = images.wrong + (tests.wrong if tests else [])
        noes = ", ".join(step.noes) or "nothing"
        told = (noes, str(len(images.well)), names(images.otherwise), *counts, failures(wrong))
        rows.append((step.release, m.words, step.date, *told))
    return table(heads, rows)


def of_pairs(machines: Iterable[Machine], restored: Mapping[Machine, Mapping[str, Seen]]) -> str:
    heads = (
        "made on",
        "restored on",
        "seen on",
        "PASS",
        "refused by name, as it has to be",
        "wrong",
    )
    rows = []
    for made_on in machines:
        for here, by_maker in restored.items():
            if seen := by_maker.get(made_on.key):
                told = (names(seen.well), names(seen.otherwise), failures(seen.wrong))
                rows.append((made_on.title, here.title, seen.step.date, *told))
    return table(heads, rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def names(words: Iterable[str]) -> str:
    return " ".join(f"`{word}`" for word in words) or "none"


def failures(wrong: Iterable[str]) -> str:
    return "; ".join(_short(text) for text in wrong) or "nothing"


def put(page: Path, text: str) -> None:
    """Between the two marks, and nowhere else."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no place for it: {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."

"""What machines have already done: a step that came to its end is not run again.

A step is known by all that goes into it: the files of the guest, its kernel, its processor, the
images of others. What is changed is run anew; a run that was cut short goes on where it stopped.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ENDED = "@end"
"""How a guest says that it came to the end of its step."""


@dataclass(frozen=True)
class Step:
    said: str
    given: bytes
    date: str

    @property
    def has_ended(self) -> bool:
        return ENDED in self.said

    @property
    def last_words(self) -> str:
        return " ".join(self.said.split())[-200:]

    @property
    def results(self) -> dict[str, str]:
        """By name; lines of it may stand among others of the kernel's."""
        return dict(re.findall(r"^@ (\S+) (.*?)\r?$", self.said, re.M))

    @property
    def release(self) -> str:
        found = re.search(r"^@@ (\S+) (\S+)", self.said, re.M)
        return found[1] if found else "0.0"

    @property
    def clock(self) -> str:
        found = re.search(r"^@@ (\S+) (\S+)", self.said, re.M)
        return found[2] if found else "unknown"

    @property
    def noes(self) -> list[str]:
        """What `zaptrace check` has no to."""
        return re.findall(r"^@ability (.*?)\|no\|", self.said, re.M)


class Steps:
    def __init__(self, place: Path) -> None:
        self._place = place
        place.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, goes_in: list[bytes], run: Callable[[], tuple[str, bytes]]) -> Step:
        """What `run` says and gives, now or when it was last run with the same going in."""
        known = hashlib.blake2b(digest_size=8)
        for part in goes_in:
            known.update(hashlib.blake2b(part).digest())
        said, given = (self._place / f"{name}-{known.hexdigest()}.{end}" for end in ("said", "tar"))
        if not said.exists():
            text, content = run()
            if ENDED not in text:
                return Step(text, content, _today())
            given.write_bytes(content)
            unfinished = said.with_suffix(".unfinished")
            unfinished.write_text(f"{_today()}\n{text}")
            unfinished.rename(said)
        date, _, text = said.read_text().partition("\n")
        return Step(text, given.read_bytes(), date)


def _today() -> str:
    return datetime.date.today().isoformat()

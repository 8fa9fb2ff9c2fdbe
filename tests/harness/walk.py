"""A walk of docs/walks, walked: what is typed in its console blocks, and what is seen then.

    $ zaptrace ps          typed at the shell of the first window, whose prompt is "$ "
    2$ zaptrace ps         the same in a second window
    >>> 1 + 1              typed into a Python
    ⌨ ctrl-\\ d             keys, typed into what runs in the window that was last typed in
    NAME  STATE            seen after that: in this order, numbers and blanks being what they are
    …                      whatever there is

Windows are terminals of 30 lines and 100 columns. A command has been answered when the prompt is there
again. A python block that begins with `# NAME.py` is that file.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 60
_ESCAPES = re.compile(
    r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-B0-2]|[=>78cM])"
)
_PROMPT = r"(\$|>>>) $"
_OVERWRITTEN = re.compile(r"[^\n]*(\r?\n)?(\x1b\[\?25h)?\r?(\x1b\[1A)?\x1b\[2K")
_KEYS = {"ctrl-\\ d": b"\x1cd", "ctrl-c": b"\x03", "ctrl-z": b"\x1a", "ctrl-d": b"\x04"}


@dataclass
class Step:
    """Something typed, and the lines that are seen then."""

    window: int
    typed: str
    keys: bool
    seen: list[str] = field(default_factory=list)


def steps(page: str) -> list[Step]:
    """Of all its console blocks."""
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.M | re.S):
        for line in block.splitlines():
            if match := re.match(r"(2?)(?:\$|>>>) (.*)", line):
                found.append(Step(2 if match[1] else 1, match[2], False))
            elif line.startswith("⌨ "):
                found.append(Step(found[-1].window, line[2:], True))
            else:
                found[-1].seen.append(line)
    return found


class Window:
    """A terminal with a shell."""

    def __init__(self, place: Path, env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (30, 100))
        self._shell = subprocess.Popen(
            ["setsid", "-c", "bash", "--norc", "--noprofile"],
            stdin=slave, stdout=slave, stderr=slave, cwd=place,
            env={**env, "PS1": "$ ", "TERM": "xterm", "PROMPT_COMMAND": ""},
        )  # fmt: skip
        os.close(slave)
        self._raw = ""
        self.until(_PROMPT)

    def until(self, pattern: str) -> str:
        """What is written until that stands at its end; it is then forgotten."""
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self._text()):
            assert time.monotonic() < deadline, f"no {pattern!r} in\n{self._text()}"
            if select.select([self.master], [], [], 0.1)[0]:
                self._raw += os.read(self.master, 65536).decode(errors="replace")
        text, self._raw = self._text(), ""
        return text

    def _text(self) -> str:
        return _ESCAPES.sub("", _OVERWRITTEN.sub("", self._raw)).replace("\r", "")

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def close(self) -> None:
        os.close(self.master)  # it hangs up, and tells its jobs
        try:
            self._shell.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()


@contextlib.contextmanager
def windows(place: Path, env: dict[str, str]) -> Iterator[dict[int, Window]]:
    both = {number: Window(place, env) for number in (1, 2)}
    try:
        yield both
    finally:
        for window in both.values():
            window.close()


def walk(page: str, place: Path, env: dict[str, str]) -> Iterator[tuple[Step, list[str]]]:
    """Each step, and the lines that were seen."""
    with windows(place, env) as both:
        for step in steps(page):
            window = both[step.window]
            window.type(_KEYS[step.typed] if step.keys else f"{step.typed}\n".encode())
            seen = window.until(_PROMPT).rstrip().splitlines()
            yield step, [line.rstrip() for line in (seen if step.keys else seen[1:])][:-1]


def matches(wanted: list[str], seen: list[str]) -> bool:
    """Numbers and blanks apart, and … being whatever there is."""
    if not wanted:
        return not seen
    if wanted[0] == "…":
        return any(matches(wanted[1:], seen[at:]) for at in range(len(seen) + 1))
    return bool(seen) and _like(wanted[0], seen[0]) and matches(wanted[1:], seen[1:])


_PARTS = re.compile(r"\d[\d.,:]*|…|\s+|\b(?:ms|s|min|KiB|MiB|B)\b|.")


def _like(wanted: str, seen: str) -> bool:
    pattern = "".join(map(_pattern, _PARTS.findall(wanted.strip())))
    return re.fullmatch(pattern, seen.strip()) is not None


def _pattern(part: str) -> str:
    if part[0].isdigit():
        return r"[\d.,:]+"
    if part == "…":
        return ".*"
    if part.isspace():
        return r"\s+"
    return r"\w+" if part in ("ms", "s", "min", "KiB", "MiB", "B") else re.escape(part)

"""What is answered without click: the help, completion of verbs and pods, and a plain `run`.

Whoever presses tab or starts a program a thousand times waits for what is loaded, so this file
loads nothing. It never guesses: what it does not know to be exactly so is None, and click's to
judge. tests/cli/test_quick.py holds that click would say the same.
"""

from __future__ import annotations

import os

from ._verbs import HELP, VERBS

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from typing import Any

POD_FIRST = frozenset(
    [
        *("ps", "attach", "logs", "wait", "freeze", "thaw", "checkpoint", "migrate", "check"),
        *("signal", "stop", "exec"),
    ]
)
"""Verbs whose first argument is a pod."""

_SHELLS = {
    "bash_complete": "plain,{value}",
    "zsh_complete": "plain\n{value}\n{does}",
    "fish_complete": "plain,{value}\t{does}",
}
"""What click's completion scripts expect of us; the value alone where nothing is to be said."""

_FLAGS = {"-d": "detach", "-t": "tty", "-i": "interactive"}
_FLAGS |= {"--detach": "detach", "--tty": "tty", "--interactive": "interactive"}
_FLAGS |= {"--json": "as_json", "--hup": "hup"}
"""Of `run`, and what they say."""


def answer(argv: list[str]) -> int | None:
    """The exit status, if this was something for us."""
    if wanted := os.environ.get("_ZAPTRACE_COMPLETE"):
        return _complete(wanted)
    if argv in (["--help"], ["-h"]):
        print(HELP)
        return 0
    if argv[:1] == ["run"] and (asked := run_options(argv[1:])):
        from ._start import launch

        return launch(**asked)
    return None


def run_options(words: list[str]) -> dict[str, Any] | None:
    """The arguments of _start.launch, where there is no doubt about them."""
    asked: dict[str, Any] = {"name": None, "detach": False, "cwd": None, "as_json": False}
    asked |= {"cpu_level": "host", "tty": False, "interactive": False}
    asked |= {"detach_keys": None, "hup": False, "log_size": None}
    env: list[str] = []
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word, at = words[at], at + 1
        if word == "--":
            break
        if word in _FLAGS:
            asked[_FLAGS[word]] = True
        elif len(word) > 1 and all("-" + letter in _FLAGS for letter in word[1:]):  # as -it
            asked.update((_FLAGS["-" + letter], True) for letter in word[1:])
        elif word in ("--name", "--cwd", "--env") and at < len(words):
            value, at = words[at], at + 1
            if value.startswith("-"):
                return None
            if word == "--env":
                env.append(value)
            else:
                asked[word[2:]] = value
        else:
            return None
    cwd = asked["cwd"]
    if cwd is not None and not (os.path.isdir(cwd) and os.access(cwd, os.R_OK)):
        return None
    if at == len(words) or not all("=" in one for one in env):
        return None
    return {**asked, "env": tuple(env), "command_line": tuple(words[at:])}


def _complete(wanted: str) -> int | None:
    words = os.environ.get("COMP_WORDS", "").split()
    form, at = _SHELLS.get(wanted), os.environ.get("COMP_CWORD", "")
    if form is None or any(c in "'\"\\" for word in words for c in word):
        return None
    if wanted == "fish_complete":  # the word itself, which may be among the others as well
        incomplete = at
        before = words[1:-1] if incomplete and words[-1:] == [incomplete] else words[1:]
    elif at.isdigit() and int(at) <= len(words):
        before, incomplete = words[1 : int(at)], (*words, "")[int(at)]
    else:
        return None
    if incomplete.startswith("-"):
        return None
    if not before:
        found = VERBS
    elif len(before) == 1 and before[0] in POD_FIRST:
        from ..supervisor import runtime

        found = dict.fromkeys(runtime.names(), "")
    else:
        return None
    for value, does in found.items():
        if value.startswith(incomplete):
            print(_line(form, value, does))
    return 0


def _line(form: str, value: str, does: str) -> str:
    if not does:
        form = form.partition("\t")[0]
    return form.format(value=value, does=does or "_")

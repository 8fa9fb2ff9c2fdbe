"""Differences between a pod and its restored self that we know of, and mean to mend or to live with.

`KNOWN` is the only list. Each entry has a reason, and a witness: a program of tests/programs in a
flavour, in which the difference has to show. When it does not any more the entry is stale, and that
test fails until the entry is removed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    pattern: str
    """A regular expression for a whole line of snapshot.differences."""
    reason: str
    witness: tuple[str, str]
    """A program, and a flavour."""
    only_with: str = ".*"
    """A regular expression for a line that has to be there, too."""


_MAPPED = r"process \d+ maps [0-9a-f-]+"

_EXECUTED = r"process \d+ stat only forked: was 'True', is 'False'"

KNOWN: tuple[Known, ...] = (
    Known(
        _MAPPED + r" is: was '/dev/zero \d+', is '/memfd:zero \d+'",
        "an orphan of an ended session leader is not forked again: what it shares is handed over",
        ("orphan_shared", "restore"),
    ),
    Known(
        _MAPPED + r" shares copies: was True, is False",
        "an orphan of an ended session leader is not forked again: what it shares is copied",
        ("orphan_shared", "restore"),
        only_with=_EXECUTED,
    ),
    Known(
        _EXECUTED,
        "an orphan of an ended session leader is not forked again, but executes its program",
        ("orphan_shared", "restore"),
    ),
    Known(
        _MAPPED + r" is: was 'removed file \d+', is '/memfd:anon_hugepage \d+'",
        "shared huge pages without a file come back as those of a memfd",
        ("huge_pages", "restore"),
    ),
    Known(
        r"process \d+ limits Max cpu time: was .*, is .*",
        "the kernel's limit on CPU time is lower by what was used before: seen from outside the pod",
        ("cpu_limit", "migrate"),
    ),
    Known(
        r"process \d+ fds \d+ options TCP 2: was '0c020000', is '18020000'",
        "the segments that TCP has thought of for a connection that was refused are not the next one's",
        ("tcp_failed", "restore"),
    ),
    Known(
        r"process \d+ fds \d+ diag peer: was (None, is 'another socket'|'another socket', is None)",
        "a connection that had to be accepted by us to look at it is accepted: sock_diag shows that",
        ("unix_unaccepted", "resume"),
    ),
    Known(
        r"process \d+ fds \d+ diag unread by the peer: was (False, is True|True, is False)",
        "on a connection that was accepted by us something waits, for its client to be told of a reset",
        ("unix_unaccepted", "resume"),
        r"process \d+ fds \d+ diag peer: was (None, is 'another socket'|'another socket', is None)",
    ),
)


def sort(found: Sequence[str]) -> tuple[list[str], set[str]]:
    """The lines that nobody knows, and the reasons for the others."""
    strange: list[str] = []
    known: set[str] = set()
    for line in found:
        entry = next((k for k in KNOWN if _is(k.pattern, line) and _any(k.only_with, found)), None)
        if entry:
            known.add(entry.reason)
        else:
            strange.append(line)
    return strange, known


def _is(pattern: str, line: str) -> bool:
    return re.fullmatch(pattern, line, re.DOTALL) is not None


def _any(pattern: str, lines: Sequence[str]) -> bool:
    return any(_is(pattern, line) for line in lines)


def stale(program: str, flavour: str, seen: set[str]) -> list[str]:
    """Entries whose witness this is, and that it has not seen."""
    return [k.reason for k in KNOWN if k.witness == (program, flavour) and k.reason not in seen]

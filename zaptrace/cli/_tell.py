"""What we tell a shell user: remarks, JSON, how a pod ended. Knows no click, as `run` does not."""

from __future__ import annotations

import contextlib
import os
import sys

from ..text import shown_lines

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from ..supervisor.control import Outcome


class Words:
    """How much we say."""

    quiet = False
    """No remarks: -q."""


def print_json(value: object) -> None:
    """One JSON document on stdout; bytes become hex."""
    import json

    print(json.dumps(value, indent=2, default=_jsonable))


def _jsonable(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def say(text: str) -> None:
    """A remark of ours, on stderr, so that it never mixes with a pod's output. None with -q."""
    if Words.quiet:
        return
    with contextlib.suppress(OSError):
        print(f"zaptrace: {shown_lines(text)}", file=sys.stderr)


def exit_status(outcome: Outcome) -> int:
    """What a shell would report: the status, or 128 + the signal; 0 for a pod that went on.

    Of a job, 85 that it was saved, and nothing else: a program's own 85 is told as 86.
    """
    from ..supervisor.control import SAVED

    if outcome.saved:
        return SAVED
    if outcome.status is None:
        return 0
    code = os.waitstatus_to_exitcode(outcome.status)
    if code == SAVED and outcome.images:
        return SAVED + 1
    return code if code >= 0 else 128 - code


def explain(name: str, outcome: Outcome) -> None:
    """Say why a pod ended when its exit status does not."""
    for text in outcome.told:
        say(f"pod {name}: {text}")
    if outcome.how == "migrated":
        say(f"pod {name} moved to {outcome.to} and runs on there")
    elif outcome.saved:
        say(f"the job was saved to {outcome.to}; run again, it goes on from there")
    elif outcome.how == "checkpointed":
        say(f"pod {name} was stopped by a checkpoint; zaptrace restore {outcome.to} brings it back")
    elif outcome.how == "failed":
        say(outcome.why)
    elif outcome.how == "discarded":
        say(f"pod {name} was discarded")
    elif outcome.status is not None and outcome.images and exit_status(outcome) == 86:
        say(
            "the program's own exit status is 85, which is what a job that was saved has: it is told as 86"
        )
    elif outcome.left:
        say(f"pod {name} lives on with {outcome.left} more processes")

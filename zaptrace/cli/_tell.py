"""What we tell a shell user: remarks, JSON, how a pod ended. Knows no click, as `run` does not."""

from __future__ import annotations

import contextlib
import os
import sys

from ..text import shown_lines

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from ..supervisor.control import Outcome


def print_json(value: object) -> None:
    """One JSON document on stdout; bytes become hex."""
    import json

    print(json.dumps(value, indent=2, default=_jsonable))


def _jsonable(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def say(text: str) -> None:
    """A remark of ours, on stderr, so that it never mixes with a pod's output."""
    with contextlib.suppress(OSError):
        print(f"zaptrace: {shown_lines(text)}", file=sys.stderr)


def exit_status(outcome: Outcome) -> int:
    """What a shell would report: the status, or 128 + the signal; 0 for a pod that went on."""
    if outcome.status is None:
        return 0
    code = os.waitstatus_to_exitcode(outcome.status)
    return code if code >= 0 else 128 - code


def explain(name: str, outcome: Outcome) -> None:
    """Say why a pod ended when its exit status does not."""
    for text in outcome.told:
        say(f"pod {name}: {text}")
    if outcome.how == "migrated":
        say(f"pod {name} moved to {outcome.to} and runs on there")
    elif outcome.how == "checkpointed":
        say(f"pod {name} was stopped by a checkpoint; zaptrace restore {outcome.to} brings it back")
    elif outcome.how == "failed":
        say(outcome.why)
    elif outcome.how == "discarded":
        say(f"pod {name} was discarded")
    elif outcome.left:
        say(f"pod {name} lives on with {outcome.left} more processes")

"""The command line: one file per verb, loaded when it is asked for.

argv ──▶ _quick    what people ask for most and shells all the time, answered as it is
     └─▶ group     everything else: click, which takes longer to load than a pod to start
"""

from __future__ import annotations

import os
import sys

VERBS = {
    "run": "start a command in a new pod",
    "ps": "list the pods, or the processes of one",
    "attach": "come back to the terminal of a pod",
    "logs": "print what a detached pod wrote",
    "freeze": "stop every process of a pod where it is",
    "thaw": "let a frozen pod go on",
    "checkpoint": "write a pod to an image",
    "restore": "make a pod from an image",
    "migrate": "move a running pod to another host",
    "serve": "accept pods from other hosts",
    "keys": "show our key, and say whom to trust",
    "show": "print what is in an image",
    "check": "can this host, pod or image do it?",
    "signal": "send a signal into a pod",
    "stop": "end a pod",
    "demo": "watch a pod move between two host servers",
    "completion": "print the shell's completion script",
}
"""Kept here so that `zaptrace --help` loads no verb."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for an error of ours, 2 for wrong usage; see `run`."""
    status = call(sys.argv[1:] if argv is None else argv)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, AttributeError):  # the reader left, or we have none: Python's own end says so
        sys.exit(status)
    # Taking an interpreter apart takes about as long as its start, and nothing of ours is left.
    os._exit(status)


def call(argv: list[str]) -> int:
    """Run the command line and return its exit status."""
    from . import _quick

    try:
        status = _quick.answer(argv)
        if status is None:
            from . import group

            status = group.run(argv)
    except SystemExit:
        raise
    except BaseException as error:
        from . import _failure

        return _failure.told(error, argv)
    return status

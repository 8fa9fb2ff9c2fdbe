"""The command line: one file per verb, loaded when it is asked for.

argv ──▶ _quick    what people ask for most and shells all the time, answered as it is
     └─▶ group     everything else: click, which takes longer to load than a pod to start
"""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for an error of ours, 2 for wrong usage; see `run`."""
    argv = sys.argv[1:] if argv is None else argv
    if sys.stdout is not None:  # what a terminal's encoding lacks is shown as its number
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    status = call(argv)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except AttributeError:  # we have none
        sys.exit(status)
    except OSError as error:
        from . import _failure

        status = _failure.told(error, argv)
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

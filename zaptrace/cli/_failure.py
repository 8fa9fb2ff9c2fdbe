"""What becomes of an exception that ended the command line."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys

from .. import errors
from ..errors import ZaptraceError

_STATUSES: tuple[tuple[type[ZaptraceError], int], ...] = (
    (errors.NoSuchPod, 3),
    (errors.UnsupportedResource, 4),
    (errors.RestoreError, 4),
    (errors.HostError, 5),
    (errors.WireError, 6),
    (errors.NoImage, 7),
    (errors.BadImage, 8),
    (errors.ImageVersionError, 8),
    (errors.ImageError, 7),
    (errors.Cancelled, 130),
)
"""The first that fits. What each means stands in _verbs.py; where a pod is started it is `run`'s."""


def status_of(error: ZaptraceError) -> int:
    """The exit status that says what kind of error it is."""
    known = next((status for kind, status in _STATUSES if isinstance(error, kind)), 1)
    return getattr(error, "exit_status", known)


def told(error: BaseException, argv: list[str]) -> int:
    """Tell the user, and with --json also the program that asked; the exit status."""
    if isinstance(error, ZaptraceError):
        return _told(error, argv)
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):
        # The reader left; so that the flush at exit does not complain about it again:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    if not isinstance(error, Exception):
        raise error
    doing = f"do zaptrace {argv[0]}" if argv else "start"
    if isinstance(error, OSError):
        return _told(of_the_host(doing, error), argv)
    from ..log import unforeseen

    return _told(unforeseen(doing, error, "nothing that we know of"), argv)


def of_the_host(doing: str, error: OSError) -> errors.HostError:
    """What the host refuses to the command line itself: a full disk, a directory that is not ours."""
    try:
        with errors.refusals_of_the_host(f"cannot {doing}"):
            raise error
    except errors.HostError as told:
        return told


def _told(error: ZaptraceError, argv: list[str]) -> int:
    status = status_of(error)
    _print_error(f"zaptrace: {error}{_more(error)}")
    if _wants_json(argv):
        from ._tell import print_json

        with contextlib.suppress(OSError):
            print_json({"error": error.to_dict(), "exit": status})
    return status


def _wants_json(argv: list[str]) -> bool:
    """Is it an option of ours, and no word of the command that runs in a pod?"""
    ours = argv[: argv.index("--")] if "--" in argv else argv
    if argv[:1] == ["run"] and "--" not in argv:
        from ._quick import run_options

        asked = run_options(argv[1:])
        return asked is not None and bool(asked["as_json"])
    if argv[:1] == ["exec"] and "--" not in argv:
        ours = list(itertools.takewhile(lambda word: word.startswith("-"), argv[1:]))
    return "--json" in ours


def _more(error: ZaptraceError) -> str:
    """Where there is more to read about a thing that is refused."""
    if isinstance(error, errors.UnsupportedResource | errors.HostError):
        from ._topics import topic_of

        if topic := topic_of(error.what):
            return f"\n  more     zaptrace help {topic.name}"
    return ""


def _print_error(text: str) -> None:
    try:
        print(text, file=sys.stderr)
    except OSError:
        return

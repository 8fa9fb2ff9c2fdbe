"""What becomes of an exception that ended the command line."""

from __future__ import annotations

import os
import sys

from ..errors import ZaptraceError


def told(error: BaseException, argv: list[str]) -> int:
    """Tell the user; the exit status."""
    if isinstance(error, ZaptraceError):
        _print_error(f"zaptrace: {error}{_more(error)}")
        return getattr(error, "exit_status", 1)
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):
        # The reader left; so that the flush at exit does not complain about it again:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    if not isinstance(error, Exception):
        raise error
    from ..log import unforeseen

    doing = f"do zaptrace {argv[0]}" if argv else "start"
    _print_error(f"zaptrace: {unforeseen(doing, error, 'nothing that we know of')}")
    return 1


def _more(error: ZaptraceError) -> str:
    """Where there is more to read about a thing that is refused."""
    from ..errors import HostError, UnsupportedResource

    if isinstance(error, UnsupportedResource | HostError):
        from ._topics import topic_of

        if topic := topic_of(error.what):
            return f"\n  more     zaptrace help {topic.name}"
    return ""


def _print_error(text: str) -> None:
    try:
        print(text, file=sys.stderr)
    except OSError:
        return

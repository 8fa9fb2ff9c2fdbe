"""What a program asks its terminal, kept from terminals that are not to answer.

Of several that show the same program one answers; else the others' answers would be typed into it.
"""

from __future__ import annotations

import re

from .sequences import Scanner

_QUESTION = re.compile(
    rb"\x1b\[[>=?]?[0-9;]*c"  # DA
    rb"|\x1b\[\??[0-9;]*n"  # DSR
    rb"|\x1b\[\??[0-9;]*\$p"  # DECRQM
    rb"|\x1b\[(?:1[1-9]|2[01])[0-9;]*t"  # XTWINOPS that report
    rb"|\x1b\[[01]?x|\x1b\[\?u|\x1b\[>[0-9;]*q|\x1bZ|\x05"  # DECREQTPARM, kitty, XTVERSION, DECID, ENQ
    rb"|\x1b\[\?[0-9;]*[Sm]|\x1b\[>[0-9;]*p"  # graphics, XTQMODKEYS
    rb"|\x1bP[$+]q[^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\|[\x18\x1a])"  # DECRQSS, XTGETTCAP
    rb"|\x1b\](?:[0-9;]*|52;[a-z0-9]*;)\?(?:;[^\x07\x18\x1a\x1b]*)?(?:\x07|\x1b\\|[\x18\x1a])"  # OSC
)


class Unasked:
    """A stream without its questions."""

    def __init__(self) -> None:
        self._scanner = Scanner()

    def of(self, data: bytes) -> bytes:
        """What is whole of it; the rest comes with what follows."""
        return _QUESTION.sub(b"", self._scanner.whole(data))

    def rest(self) -> bytes:
        """What was kept back, for one that is to answer from here on."""
        rest, self._scanner.unfinished = self._scanner.unfinished, b""
        return rest

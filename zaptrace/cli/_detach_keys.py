"""The keys that are not for the pod: those that leave its terminal.

ctrl-\\,d    the first holds back, the second leaves
ctrl-\\      twice, it is sent once; alone, it is sent after a second
"""

from __future__ import annotations

import time

from ..errors import PodError

DEFAULT = "ctrl-\\,d"
_WAIT_S = 1.0
_MOST = 8


class DetachKeys:
    """A sequence of keys, looked for in what is typed."""

    def __init__(self, text: str = DEFAULT) -> None:
        """`text` as Docker writes it: keys with commas between, each one character or ctrl-X."""
        self.text = text
        words = text.split(",")
        self._keys = [code for word in words if (code := _key(word)) is not None]
        if len(self._keys) != len(words) or len(words) > _MOST:
            raise PodError(
                f"{text!r} are no keys to detach with",
                needed="keys with commas between them, each one character or ctrl-a to ctrl-z, "
                "ctrl-@ ctrl-[ ctrl-\\ ctrl-] ctrl-^ ctrl-_",
                found=text,
                do=f"leave --detach-keys away, for {DEFAULT}",
                changed="nothing",
            )
        self._held = 0
        """How many of them were typed and not sent."""
        self._held_at = 0.0

    @property
    def holds(self) -> bool:
        """True while keys are held back that may yet be sent."""
        return self._held > 0

    def typed(self, data: bytes) -> tuple[bytes, bool]:
        """(what is for the pod, whether to leave)."""
        sent = bytearray()
        for key in data:
            if _same(key, self._keys[self._held]):
                self._held += 1
                self._held_at = time.monotonic()
                if self._held == len(self._keys):
                    self._held = 0
                    return bytes(sent), True
                continue
            twice = self._held == 1 and key == self._keys[0]
            sent += self._release()
            if twice:
                continue
            if _same(key, self._keys[0]):
                self._held, self._held_at = 1, time.monotonic()
            else:
                sent.append(key)
        return bytes(sent), False

    def overdue(self) -> bytes:
        """What is held back for too long; it is for the pod."""
        if self._held and time.monotonic() - self._held_at > _WAIT_S:
            return self._release()
        return b""

    def _release(self) -> bytes:
        held, self._held = bytes(self._keys[: self._held]), 0
        return held


def _key(word: str) -> int | None:
    name = word.lower().removeprefix("ctrl-").removeprefix("^") if len(word) > 1 else ""
    if len(word) == 1 and " " <= word <= "~":
        return ord(word)
    if len(name) == 1 and name in "@abcdefghijklmnopqrstuvwxyz[\\]^_":
        return ord(name.upper()) - 64
    return None


def _same(key: int, wanted: int) -> bool:
    """D is as good as d; control keys are what they are."""
    return key == wanted or (wanted >= 32 and chr(key).lower() == chr(wanted).lower())

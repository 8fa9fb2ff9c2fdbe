"""Colours and attributes of characters: SGR, from what programs write to what sets it in one go."""

from __future__ import annotations

from functools import lru_cache

_OFF = {21: "1", 22: "1 2", 23: "3", 24: "4", 25: "5", 27: "7", 28: "8", 29: "9", 55: "53"}
"""What each of these turns off."""


@lru_cache(maxsize=4096)
def changed(pen: str, args: bytes) -> str:
    """`pen` after SGR with these arguments. A pen is what SGR 0 and then it would set."""
    slots = dict(_slots(pen))
    words = args.decode("ascii").split(";")
    while words:
        word = words.pop(0)
        head = word.partition(":")[0]
        number = int(head[:6] or 0)
        if number == 0:
            slots.clear()
        elif number == 4:
            slots["4"] = word
            if word == "4:0":
                del slots["4"]
        elif number in (1, 2, 3, 5, 6, 7, 8, 9, 53):
            slots["5" if number == 6 else head] = word
        elif number in _OFF:
            for one in _OFF[number].split():
                slots.pop(one, None)
        elif number in (38, 48, 58):
            if (colour := _colour(word, words)) is not None:
                slots[str(number)] = colour
        elif 30 <= number <= 37 or 90 <= number <= 97:
            slots["38"] = head
        elif 40 <= number <= 47 or 100 <= number <= 107:
            slots["48"] = head
        elif number in (39, 49, 59):
            slots.pop(str(number - 1), None)
    return " ".join(f"{slot}={value}" for slot, value in sorted(slots.items()))


def _colour(word: str, words: list[str]) -> str | None:
    """38:2::r:g:b as it stands, or 38 and what follows it; None where that is no colour."""
    if ":" in word:
        return word[:40]
    count = {"5": 1, "2": 3}.get(words[0] if words else "", -1)
    parts, words[: count + 1] = words[: count + 1], []
    if count < 0 or len(parts) < count + 1 or any(":" in part for part in parts):
        return None
    return ";".join([word, *(part[:6] or "0" for part in parts)])


def _slots(pen: str) -> list[tuple[str, str]]:
    return [(slot, value) for slot, _, value in (one.partition("=") for one in pen.split())]


@lru_cache(maxsize=4096)
def background(pen: str) -> str:
    """What is left of it in a place that is erased."""
    return " ".join(f"{slot}={value}" for slot, value in _slots(pen) if slot == "48")


@lru_cache(maxsize=4096)
def sequence(pen: str) -> str:
    """SGR that sets exactly this."""
    return "\x1b[" + ";".join(["0", *(value for _, value in _slots(pen))]) + "m"

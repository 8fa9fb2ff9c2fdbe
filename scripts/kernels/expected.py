"""What has to become of a program's image on another machine, and of a program where it is made."""

from __future__ import annotations

import re

from machine import Machine

NEEDS = {"guard_pages": ((6, 13), "guard pages")}
"""Programs that have what older kernels lack, and what the refusal there names."""

FINDS_MORE = {"protection_keys": "pkey_alloc(0, 0) is 1, not -1"}
"""Programs that do without what only `max` has, and what they say when they are there."""


def refusal(image: str, made_on: Machine, here: Machine, releases: dict[str, str]) -> str | None:
    """What has to stand in the refusal of an image, or in its complaint; None: it has to PASS."""
    name, _, level = image.partition("@v")
    if (int(level) if level else made_on.level) > here.level:
        return "lacks features"
    if name == "xstate" and here.level < 3 <= made_on.level:
        return "lacks registers"  # of AVX: without CPUID faulting it has seen them, and used them
    if here.level > made_on.level == 3 and level != "2":
        return "left no room"  # no XSAVEC there, and here glibc would save registers of MPX
    if name == "high_addresses" and made_on.is_five_levels and not here.is_five_levels:
        return "addresses of 56 bits"
    if here.cpu == "max" != made_on.cpu and name in FINDS_MORE:
        return FINDS_MORE[name]
    needed, word = NEEDS.get(name, ((0, 0), ""))
    if _numbers(releases[here.series]) < needed <= _numbers(releases[made_on.series]):
        return word
    return None


def right_to_make(name: str, result: str, here: Machine) -> bool:
    """A level that is above the processor's is refused."""
    level = name.partition("@v")[2]
    above = bool(level) and int(level) > here.level
    return f"is not x86-64-v{level}" in result if above else result == "made"


def _numbers(release: str) -> tuple[int, int]:
    found = re.findall(r"\d+", release)[:2]
    return (int(found[0]), int(found[1])) if len(found) == 2 else (0, 0)

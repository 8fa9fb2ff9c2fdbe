"""What this host is, for images: its kernel, its processor. What it can do is tried in abilities.py."""

from __future__ import annotations

import platform
import resource
from dataclasses import dataclass
from typing import Annotated

from ..errors import HostError
from ..shapes import Length, Size, Word


def cpu_features() -> set[str]:
    """The flags of /proc/cpuinfo."""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()


def boot_id() -> str:
    """Tells this kernel, since it was booted, from every other."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


@dataclass(frozen=True)
class Facts:
    """What an image says of the host that it was made on."""

    machine: Word
    kernel: Word
    node: Word
    boot_id: Word
    cpu_features: Annotated[list[Word], Length(0, 4096)]
    page_size: Size


def is_this_one(made_on: Facts) -> bool:
    """Are these the facts of this very host, not booted since?"""
    return made_on.boot_id == boot_id()


def facts() -> Facts:
    """Those of this host."""
    return Facts(
        machine=platform.machine(),
        kernel=platform.release(),
        node=platform.node(),
        boot_id=boot_id(),
        cpu_features=sorted(cpu_features()),
        page_size=resource.getpagesize(),
    )


_IRRELEVANT = {"constant_tsc", "nonstop_tsc", "tsc_known_freq", "hypervisor", "rep_good", "nopl"}
"""Flags of /proc/cpuinfo that no instruction of a program depends on."""


def check_facts(made_on: Facts) -> None:
    """Raise HostError when a pod from such a host cannot run on this one."""
    machine, page_size = made_on.machine, made_on.page_size
    if machine != platform.machine() or page_size != resource.getpagesize():
        raise HostError(
            "this host is of another kind",
            needed=f"{machine}, pages of {page_size} bytes",
            found=f"{platform.machine()}, pages of {resource.getpagesize()} bytes",
            remedy="restore on a host of the same architecture",
        )
    missing = set(made_on.cpu_features) - cpu_features() - _IRRELEVANT
    if missing:
        raise HostError(
            "this host's processor lacks features that programs of the pod may be using",
            needed=" ".join(sorted(missing)),
            found="a processor without them",
            remedy="restore on a host with the same kind of processor, or a newer one",
        )

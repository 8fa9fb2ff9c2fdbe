"""What the verbs answer with: plain facts, frozen."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from ..errors import ZaptraceError
from ..linux.abilities import Ability


@dataclass(frozen=True)
class Progress:
    """How far something is that takes a while.

    `total` is estimated as it begins, and corrected if there comes to be more; the last one that is
    told has `done == total`.
    """

    step: str
    """What is being done now, in a word."""
    done: int
    """Bytes."""
    total: int
    """Bytes."""


OnProgress: TypeAlias = Callable[[Progress], object]


@dataclass(frozen=True)
class Report:
    """What a checkpoint took."""

    image: str
    bytes: int
    """What the pod had in memory and elsewhere, before it was packed."""
    processes: int
    threads: int
    downtime_s: float
    """How long the pod stood still."""
    stored: int = 0
    """Bytes of the image, as they are on the disk."""


@dataclass(frozen=True)
class MigrationReport:
    """How a migration went."""

    to: str
    """The host server's endpoint."""
    name: str
    """The pod's name over there."""
    bytes: int
    """Sent, after compression."""
    downtime_s: float
    """From the freeze to the destination's word that it runs."""
    total_s: float


@dataclass(frozen=True)
class Process:
    """One process of a pod."""

    vpid: int
    """As the pod numbers it."""
    rpid: int
    """As this host's kernel does."""
    ppid: int
    """Its parent's vpid."""
    comm: str
    state: str
    """The letter of proc(5), or "frozen"."""
    threads: int


@dataclass(frozen=True)
class Outcome:
    """How a pod's time on this host came to its end."""

    how: str
    """exited · failed · killed · checkpointed · migrated · discarded"""
    returncode: int | None
    """As subprocess has it: the exit status, or -N for signal N; None where the pod goes on."""
    to: str | None = None
    """Where it went: an image or an endpoint."""
    left: int = 0
    """Processes that lived on after the root process ended."""
    why: str = ""
    """Of `failed`: what ended it."""
    notes: tuple[str, ...] = ()
    """What there was to say meanwhile, such as that a process had to be ended."""

    @classmethod
    def of(cls, told: dict[str, Any]) -> Outcome:
        """The one that a supervisor tells."""
        status = told.get("status")
        return cls(
            told["how"],
            None if status is None else os.waitstatus_to_exitcode(status),
            told.get("to"),
            told.get("left", 0),
            told.get("why", ""),
            tuple(told.get("told", ())),
        )


@dataclass(frozen=True)
class Executed:
    """A process that joined a pod."""

    vpid: int
    """As the pod numbers it."""
    returncode: int | None
    """As subprocess has it; None of one that was detached, or goes on where its pod went."""
    stdout: bytes = b""
    """What it wrote until it ended, unless it was given files of its own."""
    stderr: bytes = b""
    """The same."""
    outcome: Outcome | None = None
    """Of the pod, where that went away, and the process with it."""


@dataclass(frozen=True)
class Check:
    """Whether something would work. True where it would."""

    ok: bool
    problems: tuple[ZaptraceError, ...] = ()
    """Of a pod or an image: the reasons against it."""
    abilities: tuple[Ability, ...] = ()
    """Of a host: what was tried."""

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True)
class ImageInfo:
    """What is in an image."""

    image: str
    pod: str
    """The name that it had."""
    created: datetime
    host: str
    """The node that it was made on."""
    kernel: str
    processes: tuple[int, ...]
    """Their vpids."""
    threads: int
    bytes: int
    """Of its parts, unpacked."""
    stored: int
    """Of its parts, as they lie there."""
    states: dict[str, list[dict[str, Any]]] = field(repr=False)
    """By room, every State as a map: what `zaptrace show --json` prints."""


def fields_of(cls: type[Any], told: dict[str, Any]) -> dict[str, Any]:
    """What a supervisor told of the fields of a class; a newer one may tell more."""
    return {name: told[name] for name in cls.__dataclass_fields__ if name in told}

"""signalfd(2): a set of signals. Which signals wait is the reader's, so the signal room's.

Not carried: nothing.

The lower half, csrc/resources/signalfd.c, translates the senders of signals that are read.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..linux.native import lib
from ..shapes import U64
from ..view.build import Stage
from .common.file import Description, described, finish, restoring
from .common.libc import checked, libc

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "signalfd"


@dataclass(frozen=True)
class State(Description):
    mask: U64
    """Bit n-1 is signal n."""


def claims(file: FrozenFile) -> bool:
    return file.link == "anon_inode:[signalfd]"


def capture(pod: FrozenPod) -> list[State]:
    return [
        State(**described(pod, file), mask=int(file.info["sigmask"][0], 16))
        for file in pod.files(NAME)
    ]


def restore(states: list[State], build: Build) -> None:
    if states:
        build.at(Stage.SHARED, lib.zt_pod_show_senders, build.handle)
    for state in states:
        build.at(Stage.SHARED, _make, state, build)


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "a signalfd"):
        sigset = ctypes.create_string_buffer(state.mask.to_bytes(128, "little"), 128)
        fd = checked(libc.signalfd(-1, sigset, os.O_CLOEXEC))
        finish(build, state, fd)

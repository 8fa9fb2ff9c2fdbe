"""Files of namespaces, namespaces(7): /proc/PID/ns/* held open, to be named or entered later.

A pod has one set of namespaces, that of the host (of the container) that it is on. So what is open is
opened again on the new one, of the same kind. Not carried, and refused: another namespace than the
pod's own, which somebody else may keep alive.

No C half: an inode's number is the host's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ..shapes import OneOf
from ..view.build import Stage
from .common.file import Description, described, finish, restoring, unsupported

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "namespace_file"

_LINK = re.compile(r"(cgroup|ipc|mnt|net|pid|time|user|uts):\[(\d+)\]")
_KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


@dataclass(frozen=True)
class State(Description):
    kind: Annotated[str, OneOf(*_KINDS)]
    """One of the names in /proc/PID/ns."""


def claims(file: FrozenFile) -> bool:
    return _LINK.fullmatch(file.link) is not None


def capture(pod: FrozenPod) -> list[State]:
    return [State(**described(pod, file), kind=_kind(pod, file)) for file in pod.files(NAME)]


def _kind(pod: FrozenPod, file: FrozenFile) -> str:
    kind = file.link.partition(":")[0]
    process = pod.processes[0]
    if os.readlink(f"{process.proc}/ns/{kind}") != file.link:
        raise unsupported(
            file,
            f"is the {kind} namespace of somebody else",
            needed="one that the pod is in",
            do="let the program close it",
        )
    return kind


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _open, state, build)


def _open(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, f"the {state.kind} namespace"):
        flags = state.flags & (os.O_PATH | os.O_NONBLOCK) | os.O_CLOEXEC
        finish(build, state, os.open(f"/proc/self/ns/{state.kind}", flags))

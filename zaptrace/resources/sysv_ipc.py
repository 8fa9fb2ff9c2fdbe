"""System V semaphores, message queues and shared memory: not carried yet, so refused.

They belong to the host, not to a process, and their ids and keys would have to be made private first.
Nothing of them shows in /proc/PID: the tracer stores what kind of object was asked for, and by whom.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UnsupportedResource
from ..view.build import Build
from ..view.frozen import FrozenPod

NAME = "sysv_ipc"


@dataclass(frozen=True)
class State:
    """Nothing: there is no pod with such an object in an image."""


def capture(pod: FrozenPod) -> list[State]:
    for kind, user in pod.store(NAME).items():
        what = f"process {int.from_bytes(user, 'little')} uses a System V {kind.decode()}"
        raise UnsupportedResource(
            f'cannot checkpoint pod "{pod.name}": {what}',
            needed="a room that can capture System V objects; there is none yet",
            found=what,
            do="run the program with POSIX shared memory or pipes instead, if it can do so",
        )
    return []


def restore(states: list[State], build: Build) -> None:
    """Nothing to do: capture refuses."""

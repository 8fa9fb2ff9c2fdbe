"""Landlock, landlock(7): a sandbox that a thread put on itself, and all that it made since.

The kernel tells nobody its rules, and a restored process without them would be free to do what it
had given up. So a pod with a thread in such a sandbox is refused; one whose sandboxed processes have
ended is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UnsupportedResource
from ..view.build import Build
from ..view.frozen import FrozenPod

NAME = "landlock"


@dataclass(frozen=True)
class State:
    """Nothing: there is no pod with such a sandbox in an image."""


def capture(pod: FrozenPod) -> list[State]:
    for process in pod.processes:
        if any(thread.landlocked for thread in process.threads):
            raise UnsupportedResource(
                f"cannot checkpoint process {process.vpid} ({process.comm}): "
                "it is in a Landlock sandbox of its own",
                needed="the rules of the sandbox, which the kernel tells nobody",
                found="landlock_restrict_self, called by it or by a process that it comes from",
                do="run the program without its sandbox, if it can do so",
            )
    return []


def restore(states: list[State], build: Build) -> None:
    """Nothing to do: capture refuses."""

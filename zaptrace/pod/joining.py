"""A process more, in a pod that runs: launched while the pod stands still, which no process can tell.

It is a session of its own, as the pod's first process is, and its parent is the supervisor. From its
first instruction on it is a process of the pod as any other, also in images. What it was given as its
0, 1 and 2 is outside the pod: it counts as that slot of the pod's stdio, so a restored one has the
restored pod's (resources/stdio.py).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import PodError
from ..linux.native import lib
from .command import environment, find, raise_file_limit
from .stdio import Stdio

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..cancel import Cancel
    from ..ids import Rpid, Vpid
    from .pod import Pod

_STATUS_BYTES = 4


@dataclass(frozen=True)
class Program:
    """What is to be executed, and how."""

    argv: list[bytes]
    cwd: bytes
    env: list[bytes]
    """NAME=VALUE each."""
    umask: int
    tty: bool

    @property
    def words(self) -> list[str]:
        """The command line."""
        return list(map(os.fsdecode, self.argv))

    def is_sound(self) -> bool:
        """Can it be asked of the kernel?"""
        words: list[Any] = [*self.argv, self.cwd, *self.env]
        if not self.argv or not self.argv[0] or not 0 <= self.umask <= 0o777:
            return False
        if not all(isinstance(word, bytes) and b"\0" not in word for word in words):
            return False
        return all(b"=" in one for one in self.env)


@dataclass
class Joined:
    """A process that has joined a pod."""

    vpid: Vpid
    ends: int
    """A pipe: its wait status comes there, or nothing, if it is not known when the pod is gone."""
    given: dict[tuple[int, int], str]
    """Of what it was given, what counts as the pod's stdio."""
    held: list[int]
    """Copies of a terminal, so that no other one has its number meanwhile."""

    def status(self) -> int | None:
        """Waits until it has ended; how (waitpid(2)), None where only the pod knows."""
        with os.fdopen(self.ends, "rb", buffering=0) as pipe:
            told = pipe.read(_STATUS_BYTES)
        return int.from_bytes(told, "little", signed=True) if told else None


def join(pod: Pod, program: Program, fds: Sequence[int], cancel: Cancel) -> Joined:
    """Launch a program in `pod`. Raises LaunchError; the pod runs on in any case."""
    if pod.frozen:
        raise PodError(
            f'cannot execute {program.words[0]} in pod "{pod.name}"',
            needed="a pod that runs",
            found="it is frozen",
            do=f"zaptrace thaw {pod.name}",
            changed="nothing",
        )
    nofile = raise_file_limit()
    argv, cwd, tty = program.words, os.fsdecode(program.cwd), program.tty
    asked = dict(os.fsdecode(one).split("=", 1) for one in program.env)
    env = environment(asked, pod.call(lambda: lib.zt_pod_cpu_level(pod.handle)))
    path = find(argv[0], env, cwd)
    given = Stdio(fds[0], fds[1], fds[2]).identify()

    def work() -> Joined:
        ends, tell = os.pipe2(os.O_CLOEXEC)
        try:
            rpid = pod.launch_root(
                path,
                argv,
                env,
                cwd,
                fds=fds,
                tty=tty,
                nofile=nofile,
                hold=True,
                root=False,
                joins=True,
            )
        except BaseException:
            os.close(ends)
            os.close(tell)
            raise
        if lib.zt_pod_await_end(pod.handle, rpid, tell):
            os.close(tell)  # no memory: its end is told as not known
        held = [os.dup(fds[0])] if tty else []
        pod.given |= {key: slot for key, slot in given.items() if key not in pod.given}
        return Joined(_vpid_of(pod, rpid), ends, given, held)

    pod.freeze(cancel)
    try:
        return pod.call(work)
    finally:
        pod.thaw()


def leave(pod: Pod, joined: Joined) -> None:
    """It has ended: what it was given is the pod's no more, unless another process has it by now."""

    def work() -> None:
        kept = {key for process in pod.processes() for key in _files_of(process.rpid)}
        for key in joined.given.keys() - kept:
            pod.given.pop(key, None)

    with contextlib.suppress(PodError):  # the pod is gone, too
        pod.call(work)
    for fd in joined.held:
        os.close(fd)
    joined.held.clear()


def _vpid_of(pod: Pod, rpid: Rpid) -> Vpid:
    from ..ids import Vpid

    return Vpid(lib.zt_ids_to_virtual(pod.handle, rpid))


def _files_of(rpid: int) -> set[tuple[int, int]]:
    found = set()
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{rpid}/fd"):
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/{rpid}/fd/{fd}")
                found.add((status.st_dev, status.st_ino))
    return found

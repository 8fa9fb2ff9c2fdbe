"""Forks the runners of pods: what each would load at its start has been loaded once, for all of them.

    nursery.py DOOR [namespace] [root]

DOOR is a socket of packets of JSON, each with an answer:

    {"fork": ENVIRONMENT}    with four descriptors, stdin, stdout, stderr and a pipe: its process id here,
                             and a pidfd; when it has ended its wait status is written into the pipe
    {"occupy": [NUMBER...]}  in a namespace: strangers.py says what for; how far it went, in words

In a `namespace` it is the first process of a pid namespace, and what a runner leaves behind ends with
it; the runners themselves have no capability there unless they are root's. When the other end of DOOR
is closed so is all this.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import zaptrace.pod.listing  # noqa: F401 - loaded when it is needed
from harness import runner
from zaptrace import shapes
from zaptrace.errors import BadImage
from zaptrace.resources import ROOMS

MAX_PACKET = 1 << 17
NEXT = Path("/proc/sys/kernel/ns_last_pid")
SLEEP = "/bin/sleep"
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 24, 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522


class Nursery:
    def __init__(self, door: socket.socket, namespace: bool, root: bool) -> None:
        self._door = door
        self._namespace = namespace
        self._keeps = root or not namespace
        self._runners: dict[int, int] = {}  # process id: where its wait status goes
        self._strangers: list[int] = []
        self._woken, self._wakes = os.pipe()
        for end in (self._woken, self._wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it is pytest's
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)

    def serve(self) -> None:
        while True:
            readable, _, _ = select.select([self._door, self._woken], [], [])
            if self._woken in readable:
                os.read(self._woken, 4096)
                self._bury()
            if self._door in readable:
                text, fds, _, _ = socket.recv_fds(
                    self._door, MAX_PACKET, 4, socket.MSG_CMSG_CLOEXEC
                )
                if not text:
                    return
                asked = json.loads(text)
                if "fork" in asked:
                    self._fork(asked["fork"], fds)
                else:
                    said = self._occupy(asked["occupy"])
                    self._door.send(json.dumps(said).encode())

    def _fork(self, env: dict[str, str], fds: list[int]) -> None:
        child = os.fork()
        if child == 0:
            try:
                self._become_runner(env, fds)
            finally:
                os._exit(1)
        for fd in fds[:3]:
            os.close(fd)
        self._runners[child] = fds[3]
        pidfd = os.pidfd_open(child)
        socket.send_fds(self._door, [json.dumps(child).encode()], [pidfd])
        os.close(pidfd)

    def _become_runner(self, env: dict[str, str], fds: list[int]) -> None:
        """In the child: nothing of ours is left in it, but what was loaded."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._door.close()
        for fd in (self._woken, self._wakes, fds[3], *self._runners.values()):
            os.close(fd)
        for number, fd in enumerate(fds[:3]):
            os.dup2(fd, number)
            os.close(fd)
        sys.stdin = os.fdopen(0, closefd=False)
        os.environ.clear()
        os.environ.update(env)
        if not self._keeps:
            give_up_capabilities()
        runner.main()
        os._exit(0)

    def _bury(self) -> None:
        """Whoever has ended; in a namespace orphans are ours."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                if pid not in self._runners:
                    continue
                if self._namespace and len(self._runners) == 1:
                    self._end_all()
                pipe = self._runners.pop(pid)
                with contextlib.suppress(BrokenPipeError):
                    os.write(pipe, str(status).encode())
                os.close(pipe)

    def _end_all(self) -> None:
        """Of a namespace, ourselves excepted."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        self._strangers.clear()

    def _occupy(self, numbers: list[int]) -> str:
        for pid in self._strangers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._strangers = [pid for n in numbers if not taken(n) and (pid := self._stranger(n))]
        others = sum(n not in self._strangers and taken(n) for n in numbers)
        return (
            f"{len(self._strangers) + others} of {len(numbers)} old ids are occupied "
            f"({others} of them by strangers), in a pid namespace"
        )

    def _stranger(self, number: int) -> int:
        """A process with this number; 0 when the kernel gave it another one."""
        NEXT.write_text(str(number - 1))
        child = os.posix_spawn(SLEEP, [SLEEP, "infinity"], {}, setsid=True)
        if child == number:
            return child
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 0


def taken(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def give_up_capabilities() -> None:
    """As one has none who was never more than an ordinary user."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    last = 0
    while libc.prctl(_PR_CAPBSET_DROP, last, 0, 0, 0) == 0:
        last += 1
    header, nothing = struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capabilities")


def load() -> None:
    """What a runner would make at its first checkpoint and restore."""
    for room in ROOMS:
        with contextlib.suppress(BadImage):
            shapes.read(room.State, {})


def main(door: int, *words: str) -> None:
    load()
    gc.collect()
    gc.freeze()
    Nursery(socket.socket(fileno=door), "namespace" in words, "root" in words).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

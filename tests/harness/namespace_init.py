"""The first process of a pid namespace: it runs a command, and gives numbers to strangers.

    namespace_init.py IN OUT COMMAND...

A line `occupy N...` on descriptor IN makes processes that have these numbers, and ends those that
were made before; a line on OUT says how many there are. When the command ends, or IN does, so does
everything in the namespace.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

NEXT = Path("/proc/sys/kernel/ns_last_pid")


def taken(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def stranger(number: int) -> int:
    """A process with this number; 0 when the kernel gave it another one."""
    NEXT.write_text(str(number - 1))
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            while True:  # until we are ended, with the namespace at the latest
                signal.pause()
        finally:
            os._exit(1)
    if child == number:
        return child
    end([child])
    return 0


def end(children: list[int]) -> None:
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def occupy(numbers: list[int], held: list[int]) -> str:
    end(held)
    held[:] = [child for n in numbers if not taken(n) and (child := stranger(n))]
    others = sum(n not in held and taken(n) for n in numbers)
    return (
        f"{len(held) + others} of {len(numbers)} old ids are occupied "
        f"({others} of them by strangers), in a pid namespace"
    )


def bury_orphans(mine: list[int]) -> None:
    """We are the parent of whoever lost theirs."""
    for task in Path("/proc/self/task").iterdir():
        for pid in map(int, (task / "children").read_text().split()):
            if pid not in mine:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def main(asked: int, answers: int, command: list[str]) -> int:
    os.set_inheritable(asked, False)
    os.set_inheritable(answers, False)
    held: list[int] = []
    runner = subprocess.Popen(command)
    for fd in (0, 1):  # whoever reads what the command writes waits for its end, not for ours
        os.close(fd)
    ended = os.pidfd_open(runner.pid)
    text = b""
    while True:
        readable, _, _ = select.select([asked, ended], [], [], 1.0)
        bury_orphans([runner.pid, *held])
        if ended in readable:
            code = runner.wait()
            return 128 - code if code < 0 else code
        if asked in readable:
            piece = os.read(asked, 65536)
            if not piece:
                return 1
            *lines, text = (text + piece).split(b"\n")
            for line in lines:
                said = occupy([int(word) for word in line.split()[1:]], held)
                os.write(answers, said.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))

"""The part of a run that is root's: python -m bench.asroot COMMAND...   (root only)

COMMAND runs with a socket to this process, and whatever it becomes (make bench-all becomes an
ordinary user without capabilities), systems that need root ask here for it: `run`. It is a tool for
one's own machine: who holds the socket is root. Uses the standard library alone.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import keeper

VARIABLE = "ZAPTRACE_BENCH_ROOT"
_PART = 1 << 16
_numbers = itertools.count()


def offered() -> bool:
    return VARIABLE in os.environ or os.geteuid() == 0


def run(
    argv: Sequence[str | Path], *, out: Path | None = None, patience_s: float = 120.0
) -> tuple[int, str]:
    """Run a command as root to its end: its status (negative: it was late), and what it said.

    With `out` that goes to the end of a file instead. A command that stays has to go into the
    background by itself.
    """
    asked = {
        "argv": [str(a) for a in argv], "out": str(out) if out else None, "s": patience_s,
        "number": next(_numbers),
    }  # fmt: skip
    if VARIABLE not in os.environ:
        return _do(asked)
    with socket.socket(fileno=os.dup(int(os.environ[VARIABLE]))) as line:
        line.sendall(json.dumps(asked).encode() + b"\n")
        while answer := _line(line):
            number, status, said = json.loads(answer)
            if number == asked["number"]:  # an earlier one was for who was interrupted meanwhile
                return status, said
    return 127, "root has gone away"


def _line(line: socket.socket) -> bytes:
    """Of two that have come it takes the first alone."""
    got = bytearray()
    while not got.endswith(b"\n"):
        there = line.recv(_PART, socket.MSG_PEEK)
        if not there:
            break
        got += line.recv(there.find(b"\n") + 1 or len(there))
    return bytes(got)


def _do(asked: dict) -> tuple[int, str]:
    """Output goes through a file: a daemon that keeps it open holds nobody up."""
    path = asked["out"] or os.devnull
    with open(path, "ab", buffering=0) as out, os.fdopen(os.memfd_create("said"), "w+b") as said:
        to = out if asked["out"] else said
        try:
            status = subprocess.run(
                asked["argv"], stdin=subprocess.DEVNULL, stdout=to, stderr=said,
                timeout=asked["s"], check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            status = -1
            said.write(f"no end in {asked['s']:.0f} s\n".encode())
        except OSError as error:
            return 127, str(error)
        said.seek(0)
        return status, said.read().decode(errors="replace")


def main() -> int:
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    from . import host

    told = {VARIABLE: str(theirs.fileno()), host.COMMIT: host.commit()}
    keeper.adopt()
    child = subprocess.Popen(sys.argv[1:], env=os.environ | told, pass_fds=[theirs.fileno()])
    theirs.close()
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal has told COMMAND as well
    signal.signal(signal.SIGTERM, lambda *_: _tell_all(child.pid, signal.SIGTERM))
    while asked := _line(ours):
        what = json.loads(asked)
        answer = json.dumps([what["number"], *_do(what)]).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):  # it asked, and ended
            ours.sendall(answer)
        keeper.reap_but(child.pid)
    status = child.wait()
    keeper.end_all()
    return status


def _tell_all(root: int, number: int) -> None:
    found = [root]
    for pid in found:
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())

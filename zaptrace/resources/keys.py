"""Keys of the kernel's, keyrings(7): of a thread, a process, a session.

A restored process would look for them in vain: their numbers are the old host's, and only who
possesses a key may read it. So a pod that has made or found keys is refused as long as one of them is
there. The C half notes their numbers; the keyrings of threads and processes, which nobody else can
add to, are asked for what is in them.
Not refused: a session keyring that was there before the pod, which it has from the supervisor.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from ..errors import UnsupportedResource
from ..linux.program import Program
from ..view.build import Build
from ..view.frozen import FrozenPod, FrozenThread

NAME = "keys"

_DESCRIBE, _READ = 6, 11
_OF_THREAD, _OF_PROCESS = -1, -2
"""KEY_SPEC_THREAD_KEYRING, KEY_SPEC_PROCESS_KEYRING."""
_GONE = {-errno.ENOKEY, -errno.EKEYREVOKED, -errno.EKEYEXPIRED}


@dataclass(frozen=True)
class State:
    """Nothing: there is no pod with keys in an image."""


def is_note(key: bytes, value: bytes) -> bool:
    return len(key) == 4


def capture(pod: FrozenPod) -> list[State]:
    noted = [serial for key in pod.store(NAME) for (serial,) in [struct.unpack("<i", key)]]
    if not noted:
        return []
    for process in pod.processes:
        for thread in process.threads:
            if found := _found(thread, noted):
                raise UnsupportedResource(
                    f"cannot checkpoint process {process.vpid} ({process.comm}): "
                    "it has keys that the kernel keeps",
                    needed="every key that the pod made or asked for gone again: "
                    "a number of this host's, and not everybody may read it",
                    found=found,
                    do="let the program unlink its keys first, or run it without kernel keyrings "
                    "(Kerberos: KRB5CCNAME=FILE:...)",
                )
    return []


def _found(thread: FrozenThread, noted: list[int]) -> str | None:
    """A key that this thread can see, or that lies in a keyring of its own."""
    program = Program()
    rows = [program.call("keyctl", _DESCRIBE, serial, 0, 0, may_fail=True) for serial in noted]
    own = program.call("keyctl", _READ, _OF_THREAD, 0, 0, may_fail=True)
    shared = program.call("keyctl", _READ, _OF_PROCESS, 0, 0, may_fail=True)
    results = thread.run(program)
    if results[own] > 0 or results[shared] > 0:
        return f"keys in its {'thread' if results[own] > 0 else 'process'} keyring"
    for serial, row in zip(noted, rows, strict=True):
        if results[row] not in _GONE:
            return f"key {serial} of this host (/proc/keys)"
    return None


def restore(states: list[State], build: Build) -> None:
    """Nothing to do: capture refuses."""

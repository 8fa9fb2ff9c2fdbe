"""Restartable sequences, rseq(2): the area that a thread has registered.

ptrace(2) tells it since Linux 5.13. Before, the kernel is asked by registering an area once more,
which it refuses in another way for each case, so that nothing is ever registered by it. The C library
has its area near the thread pointer; one that is elsewhere is refused.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from ...errors import UnsupportedResource
from ...linux.native import lib
from ...linux.program import Program
from ...view.frozen import FrozenThread

_NO_ADDRESS = 0xFFFF_8000_0000_0000
"""The kernel's: with nothing registered, this is refused for what it is."""
_SIZE, _SIGNATURE = 32, 0x53053053
"""Of the first version of struct rseq, and RSEQ_SIG of this architecture's C libraries."""
_REACH = 4096


@dataclass(frozen=True)
class Area:
    address: int
    """0: there is none."""
    size: int
    signature: int


def area_of(thread: FrozenThread) -> Area:
    it = thread.rseq()
    if it.flags != lib.ZT_RSEQ_UNTOLD:
        return Area(it.address, it.size, it.signature)
    return find(thread)


def find(thread: FrozenThread) -> Area:
    """The same without ptrace. Raises UnsupportedResource when there is one, and not where we look."""
    program = Program()
    has = program.call("rseq", _NO_ADDRESS, _SIZE, 0, _SIGNATURE, may_fail=True)
    if -thread.run(program)[has] in (errno.EFAULT, errno.ENOSYS):
        return Area(0, 0, 0)
    program = Program()
    base = thread.registers().fs_base & -_SIZE
    rows = {
        at: program.call("rseq", at, _SIZE, 0, _SIGNATURE, may_fail=True)
        for at in range(max(base - _REACH, _SIZE), base + _REACH, _SIZE)
    }
    results = thread.run(program)
    for at, row in rows.items():
        if results[row] == -errno.EBUSY:
            return Area(at, _SIZE, _SIGNATURE)
    raise UnsupportedResource(
        f"cannot checkpoint thread {thread.vtid} of process {thread.process.vpid}: "
        "it has restartable sequences (rseq) where this kernel does not tell",
        needed="ptrace's PTRACE_GET_RSEQ_CONFIGURATION, of Linux 5.13, or an area of the C library's",
        found="neither",
        do="use a newer kernel, or run the program with GLIBC_TUNABLES=glibc.pthread.rseq=0",
    )

"""Filters put on top of what the processes of a frozen pod have, when something first needs them."""

from __future__ import annotations

import struct

from .native import Handle, ffi, lib
from .program import Program
from .tracee import tasks

_SET_MODE_FILTER, _TSYNC = 1, 1
_INSTRUCTION = 8  # struct sock_filter


def put_on(pod: Handle, *, kept: bool) -> None:
    """For all that is there: calls stop that tell senders, or (kept) that accept a connection."""
    code = ffi.new("char[]", 4096)
    size = lib.zt_filter_code(kept, code, len(code))
    everybody = tasks(pod)
    for task in everybody:
        apart = len({other.filter for other in everybody if other.rpid == task.rpid}) > 1
        if task.stopped and (apart or task.rtid == task.rpid):
            program = Program()
            body = program.data(bytes(ffi.buffer(code, size)))
            head = struct.pack("=HxxxxxxQ", size // _INSTRUCTION, 0)
            fprog = program.pointer(head, {8: body})
            program.call("seccomp", _SET_MODE_FILTER, 0 if apart else _TSYNC, fprog)
            program.run(pod, task.rtid)

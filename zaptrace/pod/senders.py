"""Senders of messages, in a pod that moved.

Calls that tell senders stop only where somebody has asked for them (SO_PASSCRED). The processes of a
pod that was restored with such sockets do from their birth; in others, a filter is put on top of what
they have, when one first asks.
"""

from __future__ import annotations

import struct

from ..errors import ZaptraceError
from ..linux.native import Handle, check, ffi, lib, new_error
from ..linux.program import Program
from ..linux.tracee import tasks
from ..log import log

_PATIENCE_MS = 2000
_SET_MODE_FILTER, _TSYNC = 1, 1
_INSTRUCTION = 8  # struct sock_filter


def show_senders(pod: Handle) -> None:
    """Somebody has asked, and waits for it: in a pod that is running, and stands still for it."""
    try:
        check(lib.zt_loop_freeze(pod, _PATIENCE_MS, err := new_error()), err)
    except ZaptraceError as error:  # it is running again: let who has asked go on, too
        log.warning("processes that are there see senders of messages as this host does: %s", error)
        lib.zt_pod_show_senders(pod)
        return
    try:
        _put_on(pod)
        lib.zt_pod_show_senders(pod)
    finally:
        check(lib.zt_loop_thaw(pod, err := new_error()), err)


def _put_on(pod: Handle) -> None:
    code = ffi.new("char[]", 4096)
    size = lib.zt_filter_code(code, len(code))
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

"""The pod's accept(2) at a listener whose connections we have accepted to look at them (view/kept.py).

It stops, and the pod stands still: whoever calls is given the first of them, as the kernel would have
given it, and an answer in place of its call.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from ..errors import TraceeGone, ZaptraceError
from ..linux.native import Handle, check, ffi, lib, new_error
from ..linux.program import Program, Results, number_of
from ..linux.tracee import TaskInfo, tasks
from ..log import log
from ..view.descriptions import Twin
from ..view.duplicates import take
from ..view.giving import give
from ..view.kept import Kept, accept

_PATIENCE_MS = 2000
_EINVAL, _ECONNABORTED, _ENOTCONN = -22, -103, -107


@dataclass(frozen=True)
class _Caller:
    """A thread that is about to accept; as the holder of its descriptors."""

    pod: Handle
    task: TaskInfo

    @property
    def lives_in(self) -> int:
        return self.task.rtid

    @property
    def vpid(self) -> int:
        return self.task.vpid

    @property
    def comm(self) -> str:
        return "it accepts a connection"

    def run(self, program: Program) -> Results:
        return program.run(self.pod, self.task.rtid)

    def twin(self, below: int) -> Twin | None:
        return None

    def asked(self) -> list[int]:
        asked = ffi.new("int64_t[]", 7)
        check(lib.zt_call_asked(self.pod, self.task.rtid, asked, err := new_error()), err)
        return list(asked)

    def answer(self, value: int) -> None:
        check(lib.zt_call_answer(self.pod, self.task.rtid, value, err := new_error()), err)


def accept_kept(pod: Handle, kept: Kept, rtid: int) -> None:
    """In a pod that is running: a thread asks, and waits for it. If nothing comes of it, it asks again."""
    try:
        check(lib.zt_loop_freeze(pod, _PATIENCE_MS, err := new_error()), err)
    except ZaptraceError as error:  # it is running again
        log.warning("an accept has to wait: %s", error)
        return
    try:
        task = next((task for task in tasks(pod) if task.rtid == rtid and task.stopped), None)
        if task is not None:
            _accept(_Caller(pod, task), kept)
    except TraceeGone:
        pass  # it was killed meanwhile
    finally:
        check(lib.zt_loop_thaw(pod, err := new_error()), err)


def _accept(caller: _Caller, kept: Kept) -> None:
    nr, fd, address, size, flags, *_ = caller.asked()
    if nr not in (number_of("accept"), number_of("accept4")):
        return  # somebody else has frozen the pod meanwhile: it asks again
    if nr == number_of("accept"):
        flags = 0
    try:
        listener = os.stat(f"/proc/{caller.lives_in}/fd/{fd & 0xFFFFFFFF}").st_ino
    except OSError:
        return
    connections = kept.connections(listener)
    if not connections:
        check(lib.zt_pod_keep(caller.pod, listener, 0), new_error())
        return
    if flags & ~(socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK):
        caller.answer(_EINVAL)
        return
    os.set_blocking(connections[0], not flags & socket.SOCK_NONBLOCK)
    number = give(caller, connections[0], cloexec=bool(flags & socket.SOCK_CLOEXEC))
    if number >= 0:
        kept.unmark(listener, connections[0])
        with socket.socket(fileno=take(caller, fd)) as sock:
            if not kept.take(listener, accept(sock)):
                check(lib.zt_pod_keep(caller.pod, listener, 0), new_error())
        number = _tell_address(caller, number, address, size)
    caller.answer(number)


def _tell_address(caller: _Caller, number: int, address: int, size: int) -> int:
    """Whose it is, where the program wants to have that: the number, or why that could not be told."""
    program = Program()
    if not address:
        return number
    told = program.call("getpeername", number, address, size, may_fail=True)
    error = caller.run(program)[told]
    if not error:
        return number
    program = Program()
    program.call("close", number)
    caller.run(program)
    return _ECONNABORTED if error == _ENOTCONN else error

"""A thread of a frozen pod: its registers, signals and programs. Only from the tracer's thread."""

from __future__ import annotations

from dataclasses import dataclass

from ..ids import Rpid, Vpid
from .native import Handle, Registers, Rseq, check, ffi, lib, new_error
from .program import Program, Results

_SIGINFO_SIZE = 128
_SIGINFO_FIRST = 8
_xstate = ffi.new("char[]", 1 << 16)  # only the tracer's thread uses it


@dataclass(frozen=True)
class TaskInfo:
    """What the tracer knows of a thread.

    left_ns is the time left of its timed call, or -1; `queued` says when it came to the queue of
    waiters that it is in (the lower, the earlier), or 0; `interrupted` says that the call would show
    the freeze, and has to be made again; control_size is what the kernel has forgotten of it.
    `memory`, `files`, `directory`, `handlers`: who has the same number shares it. `awaited_by` is the
    thread that waits since its vfork for this one, or 0.
    """

    rtid: Rpid
    vtid: Vpid
    rpid: Rpid
    vpid: Vpid
    stopped: bool
    ended: bool
    group_stop: int
    interrupted: bool
    left_ns: int
    queued: int
    memory: int
    files: int
    directory: int
    handlers: int
    awaited_by: Rpid
    control_size: int
    dumpable: int
    landlocked: bool
    filter: int
    no_new_privs: bool


def tasks(pod: Handle) -> list[TaskInfo]:
    """All threads of a pod (the tracer's handle), oldest first."""
    capacity = 256
    while True:
        infos = ffi.new("zt_task_info[]", capacity)
        count = lib.zt_pod_tasks(pod, infos, capacity)
        if count <= capacity:
            break
        capacity = count + 64
    return [
        TaskInfo(
            Rpid(i.rtid),
            Vpid(i.vtid),
            Rpid(i.rpid),
            Vpid(i.vpid),
            bool(i.stopped),
            bool(i.ended),
            i.group_stop,
            bool(i.interrupted),
            i.left_ns,
            i.queued,
            i.memory,
            i.files,
            i.directory,
            i.handlers,
            Rpid(i.awaited_by),
            i.control_size,
            i.dumpable,
            bool(i.landlocked),
            i.filter,
            bool(i.no_new_privs),
        )
        for i in infos[0:count]
    ]


class Thread:
    """One thread at rest. Every method raises TraceeGone when it has been killed."""

    def __init__(self, pod: Handle, rtid: int, vtid: int) -> None:
        self._pod = pod
        self.rtid = Rpid(rtid)
        self.vtid = Vpid(vtid)

    def registers(self) -> Registers:
        """A zt_regs: fields named as in user_regs_struct, to be changed and given to set_registers."""
        regs = ffi.new("zt_regs *")
        check(lib.zt_regs_get(self._pod, self.rtid, regs, err := new_error()), err)
        return regs

    def set_registers(self, regs: Registers) -> None:
        check(lib.zt_regs_set(self._pod, self.rtid, regs, err := new_error()), err)

    def xstate(self) -> bytes:
        """Everything that XSAVE keeps, in the standard format of NT_X86_XSTATE (ptrace(2))."""
        size = ffi.new("uint64_t *")
        err = new_error()
        check(
            lib.zt_xstate_get(self._pod, self.rtid, _xstate, len(_xstate), size, err),
            err,
        )
        return bytes(ffi.buffer(_xstate, size[0]))

    def set_xstate(self, state: bytes) -> None:
        err = new_error()
        check(lib.zt_xstate_set(self._pod, self.rtid, ffi.from_buffer(state), len(state), err), err)

    def sigmask(self) -> int:
        """Blocked signals, as the program set them, bit n-1 for signal n."""
        mask = ffi.new("uint64_t *")
        check(lib.zt_sigmask_get(self._pod, self.rtid, mask, err := new_error()), err)
        return mask[0]

    def set_sigmask(self, mask: int) -> None:
        check(lib.zt_sigmask_set(self._pod, self.rtid, mask, err := new_error()), err)

    def pending(self, *, shared: bool) -> list[bytes]:
        """The siginfo_t of pending signals, of the thread or (shared) of its process, in order; but for
        those that do not come to the pod's programs (zt_pod_keep_out)."""
        count = ffi.new("int32_t *")
        most = _SIGINFO_FIRST
        while True:
            buffer = bytearray(_SIGINFO_SIZE * most)
            err = new_error()
            check(
                lib.zt_siginfo_peek(
                    self._pod, self.rtid, shared, ffi.from_buffer(buffer), most, count, err
                ),
                err,
            )
            if count[0] < most:
                break
            most *= 16
        size = _SIGINFO_SIZE
        found = [bytes(buffer[i * size : (i + 1) * size]) for i in range(count[0])]
        return [one for one in found if not lib.zt_pod_keeps_out(self._pod, ffi.from_buffer(one))]

    def rseq(self) -> Rseq:
        """A zt_rseq; address 0 when none is registered."""
        config = ffi.new("zt_rseq *")
        check(lib.zt_rseq_get(self._pod, self.rtid, config, err := new_error()), err)
        return config

    def reissue(self, left_ns: int, control_size: int) -> None:
        """Have the call that the registers show as interrupted go on, for left_ns (-1: as asked)."""
        err = new_error()
        check(lib.zt_call_reissue(self._pod, self.rtid, left_ns, control_size, err), err)

    def queue(self, queued: int) -> None:
        """At the thaw it waits before those with a higher number."""
        check(lib.zt_call_queue(self._pod, self.rtid, queued, err := new_error()), err)

    def run(self, program: Program) -> Results:
        """Run a program here; registers and mask are as before it."""
        return program.run(self._pod, self.rtid)

"""Threads: registers, signal mask, and what the kernel keeps for each.

The kernel keeps: general registers, extended state (all that XSAVE covers), thread pointers, blocked
signals, signals pending for the thread, alternate stack, robust futex list, restartable-sequence
area, the address to clear at its end, the call that it is in, and what it has set for itself
(attributes.py).
An interrupted call is restored as the kernel left it (-ERESTARTSYS and friends in the result
register), so that it is made again, or becomes EINTR when a handler runs, just as it would have
been; a timed call whose restart the kernel kept to itself goes on with the time that was left, and
one that had moved a part goes on with the rest (csrc/pod/blocked/).
Not carried: I/O permissions, hardware breakpoints; while a thread waits for a priority-inheritance
futex of a restored pod, its owner does not get its priority.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from ...errors import HostError, RestoreError
from ...ids import Vpid
from ...linux import cpu, host, signal_frame, xstate
from ...linux.native import NativeError, Registers, ffi, lib, read_memory
from ...linux.program import Program
from ...linux.tracee import Thread
from ...shapes import I64, U32, U64, Among, GivesThread, Length, NamesLiving, Size, Word
from ...view.build import Build, BuildProcess, Stage
from ...view.frozen import FrozenPod, FrozenThread
from ..common.siginfo import SigInfo, to_real, to_virtual
from ..common.timer_signal import brought_along
from ..room import Whole, bad
from .attributes import TILE_DATA, Asked, Attributes, add_rows, has_tiles
from .place import Place, claim, enter, own_place
from .rseq import area_of

NAME = "thread"

_PR_GET_TID_ADDRESS = 40
_CLONE_THREAD = (
    0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000
)  # VM FS FILES SIGHAND THREAD SYSVSEM
_CLONE_FS = 0x200
_STACK = struct.Struct("<Qi4xQ")  # stack_t of sigaltstack(2)
_STACK_T = _STACK.size
_SS_ONSTACK, _SS_DISABLE = 1, 2
_RESTART_BLOCK = -516 & 0xFFFFFFFFFFFFFFFF
_ROBUST_HEAD = 24
_REGISTERS = [name for name, _ in ffi.typeof("zt_regs").fields]


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    vtid: GivesThread
    attributes: Attributes
    registers: Annotated[dict[Word, U64], Among(*_REGISTERS), Length(len(_REGISTERS))]
    xstate: Annotated[bytes, Length(512, 1 << 16)]
    mask: U64
    pending: list[SigInfo]
    alternate_stack: Annotated[bytes, Length(_STACK_T)]
    robust_list: U64
    clear_tid: U64
    rseq_address: U64
    rseq_size: U32
    rseq_signature: U32
    interrupted: bool  # in a call that would show the freeze, and is made again
    left_ns: I64  # of a timed call; -1: it is in none
    queued: I64  # when it came to the queue of waiters that it is in: lower is earlier; 0: in none
    control_size: Size  # + 1, that its recvmsg was given; 0: it is in none
    place: Place | None = None
    """Its own, where it has that not in common with its process."""


# -- capture


def verify(states: list[State], whole: Whole) -> None:
    living = whole.seen.given.get("living process", set())
    if without := living - {state.vpid for state in states}:
        raise bad(f"process {min(map(str, without))} has no thread")
    whole.give_once("thread of process", [(state.vpid, state.vtid) for state in states])
    if whole.registers is not None:
        for state in states:
            xstate.components(state.xstate, whole.registers)


def capture(pod: FrozenPod) -> list[State]:
    return [_capture(pod, thread) for process in pod.processes for thread in process.threads]


def _capture(pod: FrozenPod, thread: FrozenThread) -> State:
    program = Program()
    stack = program.buffer(_STACK_T)
    program.call("sigaltstack", 0, stack)
    clear_tid = program.buffer(8)
    has_clear = program.call("prctl", _PR_GET_TID_ADDRESS, clear_tid, may_fail=True)
    head, length = program.buffer(8), program.buffer(8)
    program.call("get_robust_list", 0, head, length)
    process = thread.process
    is_process = thread.rtid == process.rpid
    asked = Asked(
        program,
        first=thread is process.leader,
        is_process=is_process,
        cpu_level=lib.zt_pod_cpu_level(pod.handle) > 0,
    )
    results = thread.run(program)
    if results[has_clear] < 0:
        raise HostError(
            "this kernel does not tell a thread's tid address",
            remedy="use a kernel with CONFIG_CHECKPOINT_RESTORE (prctl PR_GET_TID_ADDRESS)",
        )
    rseq = area_of(thread)
    pending = thread.pending(shared=False)
    of_timers = brought_along(process, pending)
    return State(
        vpid=thread.process.vpid,
        vtid=thread.vtid,
        attributes=asked.answer(results),
        registers=_registers_as_dict(thread.registers()),
        xstate=thread.xstate(),
        mask=thread.sigmask(),
        pending=[to_virtual(info, pod.vpid) for info in pending if info not in of_timers],
        alternate_stack=results.bytes(stack),
        robust_list=struct.unpack("<Q", results.bytes(head))[0],
        clear_tid=struct.unpack("<Q", results.bytes(clear_tid))[0],
        rseq_address=rseq.address,
        rseq_size=rseq.size,
        rseq_signature=rseq.signature,
        interrupted=thread.interrupted,
        left_ns=thread.left_ns,
        queued=thread.queued,
        control_size=thread.control_size,
        place=own_place(thread),
    )


def _registers_as_dict(registers: Registers) -> dict[str, int]:
    return {name: getattr(registers, name) for name in _REGISTERS}


# -- restore


def restore(states: list[State], build: Build) -> None:
    build.at(Stage.CLAIM, _check_host, states, build)
    by_process: dict[int, list[State]] = {}
    for state in states:
        by_process.setdefault(state.vpid, []).append(state)
    for vpid, threads in by_process.items():
        build.at(Stage.THREADS, _make_threads, vpid, threads, build)
    # Before epoll comes to see what is ready.
    build.at(Stage.RESUME, _for_each, _send_pending, states, build)
    build.at(Stage.RESUME, build.last.append, lambda: _for_each(_set_own, states, build))
    asked = {state.vpid for state in states if has_tiles(state.attributes)}
    tiled = [state for state in states if state.vpid in asked]
    build.at(Stage.RESUME, build.last.append, lambda: _for_each(_make_room, tiled, build))
    build.at(Stage.RESUME, build.loads.append, lambda: _refuse_another_vdso(states, build))
    build.at(Stage.RESUME, build.loads.append, lambda: _for_each(_load, states, build))


def _check_host(states: list[State], build: Build) -> None:
    """Has this host the registers that are in use, and do its signal frames fit where they go?"""
    needed = cpu.smallest_signal_stack()
    for state in states:
        where = f"thread {state.vtid} of process {state.vpid}"
        if state.place:
            claim(state.place, where)
        try:
            _converted(state, build)
        except HostError as error:
            raise _refused(state, f"cannot restore {where}: {error.what}", error) from error
        _, flags, size = _STACK.unpack(state.alternate_stack)
        if not flags & _SS_DISABLE and size < needed and needed > _host_of(build)["signal_stack"]:
            raise RestoreError(
                f"cannot restore {where}: its alternate signal stack is too small for this host",
                stage="CLAIM",
                resource=NAME,
                vpid=state.vpid,
                needed=f"{needed} bytes, for this processor has more registers to save",
                found=f"{size} bytes",
                do="restore on a host with the same kind of processor",
            )


def _refused(state: State, what: str, error: HostError) -> RestoreError:
    return RestoreError(
        what,
        stage="CLAIM",
        resource=NAME,
        vpid=state.vpid,
        needed=error.needed,
        found=error.found,
        do=error.do,
    )


def _converted(state: State, build: Build) -> bytes:
    source = xstate.Layout.of(_host_of(build).get("xsave"))
    return xstate.convert(state.xstate, source, cpu.layout())


def _convert_frames(state: State, build: Build) -> None:
    """On its stacks, where this processor has another layout of registers than its former one."""
    source, ours = xstate.Layout.of(_host_of(build).get("xsave")), cpu.layout()
    if source == ours:
        return
    rpid = build.process(state.vpid).rpid
    top, flags, size = _STACK.unpack(state.alternate_stack)
    stacks = {range(top, top + size)} if not flags & _SS_DISABLE else set()
    pointer = state.registers["rsp"]
    with open(f"/proc/{rpid}/maps") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start <= pointer < end:
                stacks.add(range(pointer & ~63, end))
    for stack in stacks:
        held = read_memory(rpid, stack.start, len(stack))
        for at, changed in signal_frame.converted(held, stack.start, source, ours):
            if lib.zt_mem_write(rpid, at, ffi.from_buffer(changed), len(changed)) != len(changed):
                raise NativeError(f"cannot write to its stack at {at:#x}", lib.ZT_ERR_OS, ffi.errno)


def _refuse_another_vdso(states: list[State], build: Build) -> None:
    """Where a handler returns into the code of a kernel that this one has not. Nobody delays signals
    until that has returned where nobody is attached."""
    made_on = _host_of(build).get("vdso")
    if not made_on or made_on == host.vdso():
        return
    code = range(lib.zt_stub_host(), lib.zt_stub_data(0))
    memory: dict[int, list[range]] = {}
    for state in states:
        rpid = build.process(state.vpid).rpid
        if rpid not in memory:
            memory[rpid] = _mapped(rpid)
        if not any(at in code for at in _interrupted(rpid, state.registers["rsp"], memory[rpid])):
            continue
        raise RestoreError(
            f"cannot restore thread {state.vtid}: its signal handler returns into the vDSO of the kernel "
            "that the image was made on",
            stage=Stage.RESUME.name,
            resource=NAME,
            vpid=state.vpid,
            needed=f"that vDSO, of Linux {_host_of(build)['kernel']}",
            found="another",
            do="restore under that kernel, or checkpoint again once the handler has returned",
        )


def _interrupted(rpid: int, pointer: int, memory: list[range]) -> Iterator[int]:
    """The instructions that its handlers return to, from the innermost on, each on its own stack or not."""
    pointers, seen = [pointer], set[int]()
    while pointers:
        pointer = pointers.pop()
        stack = next((mapped for mapped in memory if pointer in mapped), None)
        if stack is None or stack.start in seen:
            continue
        seen.add(stack.start)
        start = pointer & ~63
        held = read_memory(rpid, start, stack.stop - start)
        for instruction, before in signal_frame.interrupted(held, start):
            pointers.append(before)
            yield instruction


def _mapped(rpid: int) -> list[range]:
    with open(f"/proc/{rpid}/maps") as maps:
        return [range(*(int(end, 16) for end in line.split()[0].split("-"))) for line in maps]


def _host_of(build: Build) -> dict[str, Any]:
    """What the image says of the host that it was made on."""
    facts: dict[str, Any] = build.image.manifest["host"]
    return facts


def _make_threads(vpid: int, states: list[State], build: Build) -> None:
    process = build.process(vpid)
    process.threads[vpid] = process.leader
    others = [state for state in states if state.vtid != vpid]
    program = Program()
    flags = [_CLONE_THREAD & ~_CLONE_FS if state.place else _CLONE_THREAD for state in others]
    rows = [program.call("clone", flag, 0, 0, 0, 0) for flag in flags]
    if rows:
        results = process.run(program)
        for state, row in zip(others, rows, strict=True):
            _bind(build, process, state.vtid, results[row])


def _bind(build: Build, process: BuildProcess, vtid: int, rtid: int) -> None:
    if lib.zt_ids_bind(build.handle, vtid, rtid):
        raise MemoryError
    process.threads[vtid] = Thread(build.handle, rtid, Vpid(vtid))


def _for_each(
    work: Callable[[State, Thread, Build], None], states: list[State], build: Build
) -> None:
    for state in states:
        thread = build.process(state.vpid).threads[state.vtid]
        try:
            work(state, thread, build)
        except NativeError as error:
            raise RestoreError(
                f"cannot restore thread {state.vtid} of process {state.vpid}: {error.what}",
                stage="RESUME",
                resource=NAME,
                vpid=state.vpid,
                found=error.found,
                do=error.do,
            ) from error


def _set_own(state: State, thread: Thread, build: Build) -> None:
    thread.run(_own_rows(state))


def _make_room(_state: State, thread: Thread, _build: Build) -> None:
    """For tiles (Intel AMX): the kernel makes it for a thread only when that uses them.

    Before, neither ptrace nor the return from a handler of a signal can put anything there. Which
    threads had it nobody tells: all of a process that has asked for tiles may.
    """
    program = Program()
    area = program.data(xstate.beginning(TILE_DATA, cpu.layout()))
    program.load_registers(area, 1 << TILE_DATA)
    thread.run(program)


def _load(state: State, thread: Thread, build: Build) -> None:
    """The last of all: nothing runs in a thread after its registers are loaded."""
    registers = ffi.new("zt_regs *")
    for name, value in state.registers.items():
        setattr(registers, name, value)
    _convert_frames(state, build)
    thread.set_xstate(_converted(state, build))
    thread.set_registers(registers)
    thread.set_sigmask(state.mask)
    if state.interrupted or _lost_its_restart(state):
        thread.reissue(state.left_ns, state.control_size)
    if state.queued:
        thread.queue(state.queued)


def _lost_its_restart(state: State) -> bool:
    """Was it in a call of which only the old kernel knew how to go on (restart_syscall(2))?"""
    in_call = state.registers["orig_rax"] >> 63 == 0
    return in_call and state.registers["rax"] == _RESTART_BLOCK


def _own_rows(state: State) -> Program:
    program = Program()
    if state.clear_tid:
        program.call("set_tid_address", state.clear_tid)
    if state.robust_list:
        program.call("set_robust_list", state.robust_list, _ROBUST_HEAD)
    if state.rseq_address:
        program.call("rseq", state.rseq_address, state.rseq_size, 0, state.rseq_signature)
    flags = struct.unpack_from("<i", state.alternate_stack, 8)[0]
    if not flags & _SS_DISABLE:
        stack = bytearray(state.alternate_stack)
        struct.pack_into("<i", stack, 8, flags & ~_SS_ONSTACK)
        program.call("sigaltstack", program.data(bytes(stack)), 0)
    add_rows(program, state.attributes)
    if state.place:
        enter(program, state.place)
    return program


def _send_pending(state: State, thread: Thread, build: Build) -> None:
    program = Program()
    for info in state.pending:
        (number,) = struct.unpack_from("<i", info)
        real = program.data(to_real(info, build.real_or_zero))
        rpid = build.process(state.vpid).rpid
        program.call("rt_tgsigqueueinfo", rpid, thread.rtid, number, real)
    if program:
        thread.run(program)

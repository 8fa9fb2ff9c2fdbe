"""What csrc/api.h declares, as Python's type checkers see it: the module is made by cffi.

A pointer to a struct has the struct's fields, as cffi lets us write it; what is used of cffi itself
is here too. tests/linux/test_native_stub.py compares this file with the compiled module.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, Literal, TypeVar, overload

from typing_extensions import Buffer

T = TypeVar("T")

class CData:
    """Anything of C's. False when it is a NULL pointer."""

    def __bool__(self) -> bool: ...

class Null(CData): ...

class Array(CData, Generic[T]):
    """An array, or a pointer of which [0] is used."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[T]: ...
    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Array[T]: ...
    def __setitem__(self, index: int, value: T) -> None: ...

class Pointer(CData, Generic[T]):
    """One number, for C to fill."""

    def __getitem__(self, index: Literal[0]) -> T: ...
    def __setitem__(self, index: Literal[0], value: T) -> None: ...

class Bytes(CData):
    """Memory of Python's, or a `char[]`."""

    def __len__(self) -> int: ...

class Strings(CData):
    """A `char *[]`; it does not keep its strings alive."""

class CType:
    fields: list[tuple[str, object]]

class zt_pod(CData): ...
class zt_store(CData): ...
class zt_ipcs(CData): ...

class zt_err(CData):
    kind: int
    os_errno: int
    ended_rtid: int
    wait_status: int
    text: Bytes

class zt_program_row(CData):
    nr: int
    flags: int
    args: Array[int]
    result: int

class zt_regs(CData):
    r15: int
    r14: int
    r13: int
    r12: int
    rbp: int
    rbx: int
    r11: int
    r10: int
    r9: int
    r8: int
    rax: int
    rcx: int
    rdx: int
    rsi: int
    rdi: int
    orig_rax: int
    rip: int
    cs: int
    eflags: int
    rsp: int
    ss: int
    fs_base: int
    gs_base: int
    ds: int
    es: int
    fs: int
    gs: int

class zt_rseq(CData):
    address: int
    size: int
    signature: int
    flags: int
    pad: int

class zt_launch_spec(CData):
    path: Bytes
    argv: Strings
    envp: Strings
    cwd: Bytes
    fds: Sequence[int]
    tty: int
    vpid: int
    root: int
    nofile: int
    hold: int
    joins: int

class zt_task_info(CData):
    rtid: int
    vtid: int
    rpid: int
    vpid: int
    stopped: int
    group_stop: int
    ended: int
    interrupted: int
    left_ns: int
    queued: int
    memory: int
    files: int
    directory: int
    handlers: int
    awaited_by: int
    control_size: int
    dumpable: int
    landlocked: int
    filter: int
    no_new_privs: int

class zt_usage(CData):
    user_us: int
    system_us: int
    most_rss: int
    counts: Sequence[int]

class zt_thread_past(CData):
    own: zt_usage
    clocks_ns: Sequence[int]

class zt_process_past(CData):
    own: zt_usage
    children: zt_usage
    clocks_ns: Sequence[int]
    ticks: Sequence[int]
    limit_s: int

class zt_page_run(CData):
    start: int
    end: int
    kind: int

class zt_stored(CData):
    room: Bytes
    key: Bytes
    value: Bytes
    key_size: int
    value_size: int

class zt_call_stops(CData):
    entered: int
    left: int
    answered: int
    refused: int
    who: Bytes

class zt_ipc(CData):
    kind: int
    vid: int
    rid: int
    key: int
    creator: int
    removed: int
    mode: int
    uid: int
    gid: int
    cuid: int
    cgid: int
    size: int
    stamps: Sequence[int]

class _FFI:
    CData: type[CData]
    NULL: Null
    errno: int
    @overload
    def new(self, cdecl: Literal["zt_err *"]) -> zt_err: ...
    @overload
    def new(self, cdecl: Literal["zt_regs *"]) -> zt_regs: ...
    @overload
    def new(self, cdecl: Literal["zt_rseq *"]) -> zt_rseq: ...
    @overload
    def new(self, cdecl: Literal["zt_launch_spec *"]) -> zt_launch_spec: ...
    @overload
    def new(self, cdecl: Literal["zt_call_stops *"]) -> zt_call_stops: ...
    @overload
    def new(self, cdecl: Literal["zt_ipc *"], init: dict[str, int | list[int]]) -> zt_ipc: ...
    @overload
    def new(self, cdecl: Literal["int32_t *", "uint32_t *", "uint64_t *"]) -> Pointer[int]: ...
    @overload
    def new(self, cdecl: Literal["zt_task_info[]"], init: int) -> Array[zt_task_info]: ...
    @overload
    def new(self, cdecl: Literal["zt_program_row[]"], init: int) -> Array[zt_program_row]: ...
    @overload
    def new(self, cdecl: Literal["zt_page_run[]"], init: int) -> Array[zt_page_run]: ...
    @overload
    def new(
        self, cdecl: Literal["uint64_t[]", "uint32_t[]", "int64_t[]"], init: int
    ) -> Array[int]: ...
    @overload
    def new(self, cdecl: Literal["char[]"], init: int | bytes) -> Bytes: ...
    @overload
    def new(self, cdecl: Literal["char *[]"], init: Sequence[Bytes | Null]) -> Strings: ...
    def string(self, cdata: Bytes) -> bytes: ...
    def buffer(self, cdata: Bytes, size: int = -1) -> Buffer: ...
    @overload
    def from_buffer(self, python_buffer: Buffer, require_writable: bool = False) -> Bytes: ...
    @overload
    def from_buffer(
        self, cdecl: Literal["zt_thread_past *"], python_buffer: Buffer
    ) -> zt_thread_past: ...
    @overload
    def from_buffer(
        self, cdecl: Literal["zt_process_past *"], python_buffer: Buffer
    ) -> zt_process_past: ...
    def sizeof(self, cdecl: str) -> int: ...
    def typeof(self, cdecl: str) -> CType: ...

class _Lib:
    ZT_COUNT_ENTRY: int
    ZT_COUNT_CALL: int
    ZT_COUNT_SIGNAL: int
    ZT_COUNT_BIRTH: int
    ZT_COUNT_EXEC: int
    ZT_COUNT_REST: int
    ZT_COUNT_END: int
    ZT_COUNT_OTHER: int
    ZT_COUNT_LOOKED: int
    ZT_COUNT_KINDS: int
    ZT_ERR_OS: int
    ZT_ERR_GONE: int
    ZT_ERR_STATE: int
    ZT_ERR_PROGRAM: int
    ZT_ERR_TIMEOUT: int
    ZT_ERR_EXEC: int
    ZT_ERR_UNFIT: int
    ZT_ERR_FOREIGN: int
    ZT_ERR_HARMED: int
    ZT_ERR_CANCELLED: int
    ZT_ERR_LATE: int
    ZT_PLAIN_SHORT: int
    ZT_PLAIN_TOO_MANY: int
    ZT_PLAIN_TOO_DEEP: int
    ZT_PLAIN_ALIEN: int
    ZT_PLAIN_DEEPEST: int
    ZT_PLAIN_WIDEST_MAP: int
    ZT_PLAIN_STRIDE: int
    ZT_ROW_MUST: int
    ZT_ROW_XRSTOR: int
    ZT_RSEQ_UNTOLD: int
    ZT_CPU_CLOCKS: int
    ZT_RUN_HELD: int
    ZT_RUN_OFTEN: int
    ZT_RUN_GUARD: int
    ZT_IPC_SHM: int
    ZT_IPC_SEM: int
    ZT_IPC_MSG: int
    ZT_IPC_STAMPS: int
    ZT_PAGES_OWN: int
    ZT_PAGES_UNLIKE_FILE: int
    ZT_PAGES_GUARD: int

    # pod
    def zt_pod_create(self, moved: int, clock_offset_ns: int, err: zt_err, /) -> zt_pod: ...
    def zt_pod_destroy(self, pod: zt_pod, /) -> None: ...
    def zt_pod_tasks(
        self, pod: zt_pod, ret: Array[zt_task_info] | Null, capacity: int, /
    ) -> int: ...
    def zt_pod_has_begun(self, pod: zt_pod, /) -> int: ...
    def zt_pod_root_status(self, pod: zt_pod, ret_status: Pointer[int], /) -> int: ...
    def zt_pod_await_end(self, pod: zt_pod, rtid: int, fd: int, /) -> int: ...
    def zt_pod_told(self, pod: zt_pod, ret: Bytes, size: int, /) -> int: ...
    def zt_pod_stops(self, pod: zt_pod, kind: int, /) -> int: ...
    def zt_call_refusal(self, nr: int, /) -> int: ...
    def zt_pod_call_stops(self, pod: zt_pod, nr: int, ret: zt_call_stops, /) -> None: ...
    def zt_pod_expect_vpid(self, pod: zt_pod, vpid: int, /) -> None: ...
    def zt_pod_set_clock(self, pod: zt_pod, offset_ns: int, /) -> None: ...
    def zt_pod_clock(self, pod: zt_pod, /) -> int: ...
    def zt_pod_set_cpu_level(self, pod: zt_pod, level: int, faulting: int, /) -> None: ...
    def zt_pod_keep_out(self, pod: zt_pod, signals: int, fd: int, /) -> None: ...
    def zt_pod_keeps_out(self, pod: zt_pod, siginfo: Bytes, /) -> int: ...
    def zt_pod_cpu_level(self, pod: zt_pod, /) -> int: ...
    def zt_pod_cpu_faulting(self, pod: zt_pod, /) -> int: ...
    def zt_pod_set_patience(self, pod: zt_pod, row_ms: int, /) -> None: ...

    # store
    def zt_pod_store(self, pod: zt_pod, /) -> zt_store: ...
    def zt_store_put(
        self,
        store: zt_store,
        room: bytes,
        key: bytes,
        key_size: int,
        value: bytes,
        value_size: int,
        /,
    ) -> int: ...
    def zt_store_get(
        self, store: zt_store, room: bytes, key: bytes, key_size: int, /
    ) -> zt_stored: ...
    def zt_store_remove(
        self, store: zt_store, room: bytes, key: bytes, key_size: int, /
    ) -> None: ...
    def zt_store_next(self, store: zt_store, after: zt_stored | Null, /) -> zt_stored: ...

    # loop
    def zt_loop_launch(
        self, pod: zt_pod, spec: zt_launch_spec, ret_rpid: Pointer[int], err: zt_err, /
    ) -> int: ...
    def zt_loop_run(self, pod: zt_pod, err: zt_err, /) -> int: ...
    def zt_loop_freeze(self, pod: zt_pod, timeout_ms: int, err: zt_err, /) -> int: ...
    def zt_loop_thaw(self, pod: zt_pod, err: zt_err, /) -> int: ...
    def zt_loop_kill(self, pod: zt_pod, err: zt_err, /) -> int: ...

    # from any thread
    def zt_loop_look_begin(self, pod: zt_pod, /) -> int: ...
    def zt_loop_detach(self, pod: zt_pod, /) -> int: ...
    def zt_pod_detaches(self, pod: zt_pod, /) -> int: ...
    def zt_loop_look_end(self, pod: zt_pod, /) -> None: ...
    def zt_loop_look(self, pod: zt_pod, /) -> None: ...
    def zt_can_look(self) -> int: ...
    def zt_loop_wake(self, pod: zt_pod, /) -> None: ...
    def zt_loop_frozen(self, pod: zt_pod, /) -> int: ...
    def zt_loop_cancel(self, pod: zt_pod, wanted: int, /) -> None: ...

    # ids
    def zt_ids_to_real(self, pod: zt_pod, vpid: int, /) -> int: ...
    def zt_ids_to_virtual(self, pod: zt_pod, rpid: int, /) -> int: ...
    def zt_pod_set_dumpable(self, pod: zt_pod, rpid: int, dumpable: int, /) -> None: ...
    def zt_ids_bind(self, pod: zt_pod, vpid: int, rpid: int, /) -> int: ...
    def zt_ids_peer(self, pod: zt_pod, rpid: int, /) -> int: ...
    def zt_ids_stood_in(self, pod: zt_pod, vpid: int, rpid: int, /) -> int: ...

    # seccomp filters of a program's own
    def zt_pod_set_filter(
        self, pod: zt_pod, rtid: int, filter: int, no_new_privs: int, /
    ) -> None: ...
    def zt_seccomp_preamble(self, ret: Bytes, capacity: int, /) -> int: ...

    # senders of messages
    def zt_pod_show_senders(self, pod: zt_pod, /) -> None: ...
    def zt_pod_show_addresses(self, pod: zt_pod, /) -> None: ...
    def zt_pod_wants(self, pod: zt_pod, /) -> int: ...
    def zt_pod_wants_senders(self, pod: zt_pod, /) -> int: ...
    def zt_filter_code(self, kept: int, ret: Bytes, capacity: int, /) -> int: ...

    # connections that wait to be accepted, and were looked at
    def zt_pod_keep(self, pod: zt_pod, inode: int, waits: int, /) -> int: ...
    def zt_pod_keeps(self, pod: zt_pod, /) -> int: ...
    def zt_pod_wants_kept(self, pod: zt_pod, /) -> int: ...

    # pasts
    def zt_past_get_thread(self, pod: zt_pod, rtid: int, ret: zt_thread_past, /) -> None: ...
    def zt_past_get_process(self, pod: zt_pod, rpid: int, ret: zt_process_past, /) -> None: ...
    def zt_past_set_thread(self, pod: zt_pod, rtid: int, past: zt_thread_past, /) -> int: ...
    def zt_past_set_process(self, pod: zt_pod, rpid: int, past: zt_process_past, /) -> int: ...

    # one stopped thread
    def zt_regs_get(self, pod: zt_pod, rtid: int, ret: zt_regs, err: zt_err, /) -> int: ...
    def zt_regs_set(self, pod: zt_pod, rtid: int, regs: zt_regs, err: zt_err, /) -> int: ...
    def zt_xstate_get(
        self,
        pod: zt_pod,
        rtid: int,
        ret: Bytes,
        capacity: int,
        ret_size: Pointer[int],
        err: zt_err,
        /,
    ) -> int: ...
    def zt_xstate_set(
        self, pod: zt_pod, rtid: int, state: Bytes, size: int, err: zt_err, /
    ) -> int: ...
    def zt_sigmask_get(self, pod: zt_pod, rtid: int, ret: Pointer[int], err: zt_err, /) -> int: ...
    def zt_sigmask_set(self, pod: zt_pod, rtid: int, mask: int, err: zt_err, /) -> int: ...
    def zt_siginfo_peek(
        self,
        pod: zt_pod,
        rtid: int,
        shared: int,
        ret: Bytes,
        most: int,
        ret_count: Pointer[int],
        err: zt_err,
        /,
    ) -> int: ...
    def zt_rseq_get(self, pod: zt_pod, rtid: int, ret: zt_rseq, err: zt_err, /) -> int: ...
    def zt_call_reissue(
        self, pod: zt_pod, rtid: int, left_ns: int, control_size: int, err: zt_err, /
    ) -> int: ...
    def zt_call_asked(self, pod: zt_pod, rtid: int, ret: Array[int], err: zt_err, /) -> int: ...
    def zt_call_answer(self, pod: zt_pod, rtid: int, answer: int, err: zt_err, /) -> int: ...
    def zt_call_queue(self, pod: zt_pod, rtid: int, queued: int, err: zt_err, /) -> int: ...
    def zt_loop_run_program(
        self,
        pod: zt_pod,
        rtid: int,
        rows: Array[zt_program_row],
        count: int,
        data: Bytes | Null,
        size: int,
        ret_done: Pointer[int],
        err: zt_err,
        /,
    ) -> int: ...
    def zt_loop_end_process(self, pod: zt_pod, rtid: int, signal: int, err: zt_err, /) -> int: ...
    def zt_loop_stop_process(self, pod: zt_pod, rpid: int, signal: int, err: zt_err, /) -> int: ...
    def zt_loop_end_first(
        self, pod: zt_pod, rpid: int, status: int, mask: int, err: zt_err, /
    ) -> int: ...
    def zt_loop_await(self, pod: zt_pod, rtid: int, rpid: int, err: zt_err, /) -> int: ...
    def zt_loop_continue_process(self, pod: zt_pod, rpid: int, err: zt_err, /) -> int: ...

    # the table of system calls
    def zt_call_name(self, nr: int, /) -> Bytes: ...
    def zt_call_count(self) -> int: ...

    # addresses of the stub region, and memory
    def zt_stub_start(self) -> int: ...
    def zt_stub_end(self) -> int: ...
    def zt_stub_vdso_end(self) -> int: ...
    def zt_stub_host(self) -> int: ...
    def zt_stub_data(self, rows: int, /) -> int: ...
    def zt_stub_capacity(self) -> int: ...
    def zt_mem_read(self, rpid: int, address: int, ret: Bytes, size: int, /) -> int: ...
    def zt_mem_write(self, rpid: int, address: int, from_: Bytes, size: int, /) -> int: ...
    def zt_mem_pages(
        self,
        pagemap_fd: int,
        start: int,
        end: int,
        what: int,
        ret: Array[zt_page_run],
        capacity: int,
        ret_next: Pointer[int],
        err: zt_err,
        /,
    ) -> int: ...
    def zt_mem_often(
        self,
        pagemap_fd: int,
        start: int,
        end: int,
        ret: Array[zt_page_run],
        capacity: int,
        ret_next: Pointer[int],
        err: zt_err,
        /,
    ) -> int: ...
    def zt_mem_gather(
        self, rpid: int, mem_fd: int, runs: Array[zt_page_run], count: int, ret: Bytes, /
    ) -> int: ...
    def zt_mem_equal(
        self,
        mem_fd1: int,
        mem_fd2: int,
        start: int,
        end: int,
        ret: Array[zt_page_run],
        capacity: int,
        ret_next: Pointer[int],
        /,
    ) -> int: ...
    def zt_mem_hashes(self, mem_fd: int, start: int, end: int, ret: Array[int], /) -> int: ...
    def zt_pod_ipcs(self, pod: zt_pod, /) -> zt_ipcs: ...
    def zt_ipc_next(self, ipcs: zt_ipcs, after: zt_ipc | Null, /) -> zt_ipc: ...
    def zt_ipc_real(self, ipcs: zt_ipcs, kind: int, vid: int, /) -> int: ...
    def zt_ipc_virtual(self, ipcs: zt_ipcs, kind: int, rid: int, /) -> int: ...
    def zt_ipc_make(self, ipcs: zt_ipcs, like: zt_ipc, /) -> int: ...
    def zt_ipc_settle(self, ipcs: zt_ipcs, like: zt_ipc, /) -> int: ...
    def zt_ipc_hold(self, ipcs: zt_ipcs, vid: int, /) -> Bytes: ...
    def zt_ipc_let_go(self, ipcs: zt_ipcs, vid: int, /) -> None: ...
    def zt_ipc_resident(
        self, ipcs: zt_ipcs, vid: int, offset: int, size: int, ret: Bytes, /
    ) -> int: ...
    def zt_ipc_values(self, ipcs: zt_ipcs, vid: int, values: Bytes, pids: Bytes, /) -> int: ...
    def zt_ipc_set_values(self, ipcs: zt_ipcs, vid: int, values: Bytes, pids: Bytes, /) -> int: ...
    def zt_ipc_undos(self, ipcs: zt_ipcs, vid: int, ret: Bytes, capacity: int, /) -> int: ...
    def zt_ipc_note_undo(
        self, ipcs: zt_ipcs, vid: int, process: int, semaphore: int, by: int, /
    ) -> int: ...
    def zt_ipc_message(
        self, ipcs: zt_ipcs, vid: int, index: int, ret: Bytes, capacity: int, /
    ) -> int: ...
    def zt_ipc_send(self, ipcs: zt_ipcs, vid: int, message: Bytes, size: int, /) -> int: ...
    def zt_kcmp(self, rpid1: int, rpid2: int, type: int, idx1: int, idx2: int, /) -> int: ...
    def zt_pidfd_getfd(self, rpid: int, fd: int, /) -> int: ...
    def zt_cpuid(self, leaf: int, subleaf: int, ret: Array[int], /) -> None: ...
    def zt_xcr0(self) -> int: ...
    def zt_plain_scan(
        self,
        data: Bytes,
        size: int,
        depth: int,
        values: Pointer[int],
        ret_used: Pointer[int],
        /,
    ) -> int: ...

ffi: _FFI
lib: _Lib

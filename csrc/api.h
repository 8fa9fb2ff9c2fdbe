/* The door between C and Python: declarations only. This file is also the cffi cdef,
 * so it includes nothing, and each name is declared once, here.
 *
 * A call that takes a pod must come from the one thread that created it (ptrace belongs to a
 * thread); those in the part "from any thread" may come from any. That a pod is not destroyed
 * meanwhile is for the callers to see to. Fallible calls return 0, or -1 with *err filled. */
#pragma once
#include <stdint.h>


#define ZT_ERR_OS 1      /* a system call failed: os_errno says how */
#define ZT_ERR_GONE 2    /* the tracee died meanwhile */
#define ZT_ERR_STATE 3   /* asked for in the wrong state */
#define ZT_ERR_PROGRAM 4 /* a row of a program that had to succeed did not */
#define ZT_ERR_TIMEOUT 5 /* the pod did not come to rest in time */
#define ZT_ERR_EXEC 6    /* the program to launch could not be executed: os_errno */
#define ZT_ERR_UNFIT 7   /* a program that cannot be in a pod was executed, and has been ended */
#define ZT_ERR_FOREIGN 8 /* where the stub of a process should be is something else */
#define ZT_ERR_HARMED 9  /* a program of ours went wrong in a way that may have changed the process */
#define ZT_ERR_CANCELLED 10 /* given up, as asked */
#define ZT_ERR_LATE                                                                                                    \
    11      /* a program of ours hangs in a call that nothing ends; its thread becomes what it was
                             * when it comes back, and does not rest until then */

typedef struct zt_err {
    int32_t kind;
    int32_t os_errno;
    int32_t ended_rtid;  /* of ZT_ERR_GONE: whose end was taken from the kernel on the way, or 0 */
    int32_t wait_status; /* that end */
    char text[240];
} zt_err;

typedef struct zt_pod zt_pod;
typedef struct zt_store zt_store;
typedef struct zt_ipcs zt_ipcs;

/* One row of a syscall program, as the stub reads it (csrc/ptrace/stub.c). */
#define ZT_ROW_MUST 0x100   /* stop the program when this row fails */
#define ZT_ROW_XRSTOR 0x200 /* no call: XRSTOR from args[0], of the components args[1] (low half) and args[2] */
typedef struct zt_program_row {
    uint32_t nr;
    uint32_t flags; /* bit i (0..5): args[i] is the number of an earlier row whose result is meant */
    uint64_t args[6];
    int64_t result;
} zt_program_row;

/* The general registers, in the order of the kernel's user_regs_struct (NT_PRSTATUS). */
typedef struct zt_regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
    uint64_t rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss;
    uint64_t fs_base, gs_base, ds, es, fs, gs;
} zt_regs;

#define ZT_RSEQ_UNTOLD 0xffffffff /* flags: ptrace does not tell, and there may be one */
typedef struct zt_rseq {
    uint64_t address;
    uint32_t size;
    uint32_t signature;
    uint32_t flags;
    uint32_t pad;
} zt_rseq;

typedef struct zt_launch_spec {
    const char *path;
    char *const *argv;
    char *const *envp;
    const char *cwd; /* NULL: ours */
    int32_t fds[3];  /* become 0, 1 and 2; -1: that number stays closed */
    int32_t tty;     /* fd 0 becomes the controlling terminal */
    int32_t vpid;    /* 0: the kernel's number */
    int32_t root;    /* its end is what zt_pod_root_status tells */
    int64_t nofile;  /* its soft limit on open files; 0: ours */
    int32_t hold;    /* leave it stopped at its first instruction, the pod frozen */
    int32_t joins;   /* one more of a pod that lives and is frozen: if it cannot be launched, nothing has changed */
} zt_launch_spec;

typedef struct zt_task_info {
    int32_t rtid, vtid, rpid, vpid;
    int32_t stopped;    /* 1: at rest, may be read, written and programmed */
    int32_t group_stop; /* the signal that stopped its process (SIGSTOP ...), or 0 */
    int32_t ended;      /* a leader that ended before its other threads */
    int32_t interrupted; /* in a call that would show the freeze: zt_call_reissue after a restore */
    int64_t left_ns;    /* time left of the timed call that it was in; -1: none, or not known */
    int64_t queued;     /* when it came to the queue of waiters that it is in: lower is earlier; 0: in none */
    int32_t memory, files, directory, handlers; /* who has the same number shares it: clone(2) */
    int32_t awaited_by; /* rtid of the thread that waits since vfork for this one to execute or end */
    int64_t control_size; /* of the recvmsg that it was in, as zt_call_reissue wants it; 0: none, or not known */
    int32_t dumpable;   /* of its process, as it is told (PR_GET_DUMPABLE) */
    int32_t landlocked; /* in a Landlock sandbox */
    int32_t filter;     /* its newest seccomp filter of its own (pod/seccomp.h), or 0 */
    int32_t no_new_privs;
} zt_task_info;

/* What the kernel counts of a thread or process, as calls tell it: getrusage(2), times(2), and the
 * CPU-time clocks. A *past* is what is to be added to what this host's kernel has counted, because a
 * restored process had a life before: so it may be below 0. */
#define ZT_CPU_CLOCKS 3 /* user and system; user; what the scheduler counts: CPUCLOCK_PROF, _VIRT, _SCHED */
typedef struct zt_usage {
    int64_t user_us, system_us;
    int64_t most_rss;   /* not added: the greater one counts */
    int64_t counts[13]; /* what follows in struct rusage */
} zt_usage;

typedef struct zt_thread_past {
    zt_usage own;
    int64_t clocks_ns[ZT_CPU_CLOCKS];
} zt_thread_past;

typedef struct zt_process_past {
    zt_usage own, children;
    int64_t clocks_ns[ZT_CPU_CLOCKS];
    int64_t ticks[4]; /* struct tms: user, system, and both of the children */
    int64_t limit_s;  /* so much lower is the kernel's soft limit (RLIMIT_CPU) than the program's */
} zt_process_past;

/* A run of pages of one kind. */
#define ZT_RUN_HELD 0  /* they hold something */
#define ZT_RUN_OFTEN 1 /* they may be mapped by more than one process (copy-on-write) */
#define ZT_RUN_GUARD 2 /* whoever touches them gets SIGSEGV (MADV_GUARD_INSTALL) */
typedef struct zt_page_run {
    uint64_t start, end;
    uint32_t kind;
} zt_page_run;

/* What zt_mem_pages looks for. */
#define ZT_PAGES_OWN 0         /* pages that hold something, and guard pages */
#define ZT_PAGES_UNLIKE_FILE 1 /* the same, but pages of the file that is mapped */
#define ZT_PAGES_GUARD 2       /* guard pages alone */

/* An entry of the store; good until it is put again or removed. */
typedef struct zt_stored {
    const char *room;
    const uint8_t *key, *value;
    uint32_t key_size, value_size;
} zt_stored;

/* A System V object of the pod (pod/ipc.h). Numbers of processes are the pod's. Good until the next call
 * that looks for objects. */
#define ZT_IPC_SHM 0
#define ZT_IPC_SEM 1
#define ZT_IPC_MSG 2
#define ZT_IPC_STAMPS 5
typedef struct zt_ipc {
    int32_t kind;
    int32_t vid, rid; /* its number in the pod, and of the kernel */
    int32_t key;      /* in the pod; 0: none */
    int32_t creator;
    int32_t removed; /* a segment that goes with its last attachment */
    uint32_t mode, uid, gid, cuid, cgid;
    uint64_t size; /* bytes of a segment, semaphores of a set, bytes that a queue may hold */
    /* Who and when last, as programs are told: shm atime, dtime, ctime, lpid; sem otime, ctime; msg stime,
     * rtime, ctime, lspid, lrpid. */
    int64_t stamps[ZT_IPC_STAMPS];
} zt_ipc;

/* --- pod */
zt_pod *zt_pod_create(int32_t moved, int64_t clock_offset_ns, zt_err *err);
void zt_pod_destroy(zt_pod *pod);
int zt_pod_tasks(zt_pod *pod, zt_task_info *ret, int32_t capacity); /* returns how many there are */
int zt_pod_has_begun(zt_pod *pod); /* a process is or was in it */
int zt_pod_root_status(zt_pod *pod, int32_t *ret_status);           /* 1 when it has ended */
/* When that thread, the first of a process, has ended, its wait status is written to pipe `fd` as an int. The pipe is
 * the pod's from then on; it is closed when there is nothing more to tell. 0, or -ENOMEM and it is the caller's. */
int zt_pod_await_end(zt_pod *pod, int32_t rtid, int32_t fd);
/* The next thing that people are to be told, such as that a process had to be ended; each is given
 * once. 0: there is none. The loop returns as woken when there is one. */
int zt_pod_told(zt_pod *pod, char *ret, int32_t size);
void zt_pod_expect_vpid(zt_pod *pod, int32_t vpid); /* of the next task made */
void zt_pod_set_clock(zt_pod *pod, int64_t offset_ns);
int64_t zt_pod_clock(zt_pod *pod);
/* What programs that are executed from now on see of the processor: 2, 3, 4 for x86-64-v2 ..., 0 for all;
 * faulting: by CPUID faulting, where it is. */
void zt_pod_set_cpu_level(zt_pod *pod, int32_t level, int32_t faulting);
int32_t zt_pod_cpu_level(zt_pod *pod);
int32_t zt_pod_cpu_faulting(zt_pod *pod);
/* Signals (bit N-1 of `signals` is signal N) that a user's kill(2) sends from outside the pod, by who is neither
 * of it nor us, do not come to its programs; instead eventfd `fd` is written to. It is the caller's. */
void zt_pod_keep_out(zt_pod *pod, uint64_t signals, int32_t fd);
int32_t zt_pod_keeps_out(zt_pod *pod, const void *siginfo); /* 1: this one does not come to them */
void zt_pod_set_patience(zt_pod *pod, int32_t row_ms); /* so long may one row of a program take */

/* --- counts, since the pod was made here: how often its threads stopped, by why, and at which calls */
#define ZT_COUNT_ENTRY 0  /* on the way into a call that the filter traps */
#define ZT_COUNT_CALL 1   /* on the way out of one, or as was asked for otherwise */
#define ZT_COUNT_SIGNAL 2 /* about to receive a signal */
#define ZT_COUNT_BIRTH 3
#define ZT_COUNT_EXEC 4
#define ZT_COUNT_REST 5 /* newly born, interrupted by a freeze, or stopped by job control */
#define ZT_COUNT_END 6
#define ZT_COUNT_OTHER 7
#define ZT_COUNT_LOOKED 8 /* no stop: a call that was looked at without one */
#define ZT_COUNT_KINDS 9
typedef struct zt_call_stops {
    uint64_t entered;  /* looked at on the way in, mostly in a stop */
    uint64_t left;     /* and on the way out */
    uint64_t answered; /* of those on the way in: the kernel was not asked */
    uint64_t refused;  /* of those: the table says so */
    char who[32];      /* the name of the program that was refused last */
} zt_call_stops;
uint64_t zt_pod_stops(zt_pod *pod, int32_t kind);
/* Number zt_call_count() is of all calls that have no row. */
int32_t zt_call_refusal(int32_t nr); /* the errno that it is refused with, or 0 */
void zt_pod_call_stops(zt_pod *pod, int32_t nr, zt_call_stops *ret);

/* --- the store: what rooms of the tracer note, see pod/store.h */
zt_store *zt_pod_store(zt_pod *pod);
int zt_store_put(zt_store *store, const char *room, const void *key, uint32_t key_size, const void *value,
                 uint32_t value_size); /* replaces; 0 or -ENOMEM, and then nothing has changed */
const zt_stored *zt_store_get(zt_store *store, const char *room, const void *key, uint32_t key_size); /* or NULL */
void zt_store_remove(zt_store *store, const char *room, const void *key, uint32_t key_size);
/* All entries of all rooms, oldest first: the one after `after` (NULL: the first), NULL at the end. */
const zt_stored *zt_store_next(zt_store *store, const zt_stored *after);

/* --- System V objects. Those that fail answer a negative errno. */
zt_ipcs *zt_pod_ipcs(zt_pod *pod);
/* The one after `after` (NULL: the first), as it is now; NULL at the end. */
const zt_ipc *zt_ipc_next(zt_ipcs *ipcs, const zt_ipc *after);
int32_t zt_ipc_real(zt_ipcs *ipcs, int32_t kind, int32_t vid);    /* -1: there is none */
int32_t zt_ipc_virtual(zt_ipcs *ipcs, int32_t kind, int32_t rid); /* -1: none of the pod */
/* Make one as `like` says, of zeros. Its owner may use it, and it is not removed, until it settles: all
 * that is to be done by us is done, and programs are told these stamps until one of them does something. */
int zt_ipc_make(zt_ipcs *ipcs, const zt_ipc *like);
int zt_ipc_settle(zt_ipcs *ipcs, const zt_ipc *like);
/* A segment where we have it attached; NULL: errno says why not. zt_ipc_let_go after each. */
void *zt_ipc_hold(zt_ipcs *ipcs, int32_t vid);
void zt_ipc_let_go(zt_ipcs *ipcs, int32_t vid);
/* Of a segment that is held, a byte for each page: 0 where nothing is, nor was swapped out. 0, or -errno. */
int zt_ipc_resident(zt_ipcs *ipcs, int32_t vid, uint64_t offset, uint64_t size, void *ret);
/* Of a set: all values (uint16_t), and who changed each last (int32_t). */
int zt_ipc_values(zt_ipcs *ipcs, int32_t vid, void *ret_values, void *ret_pids);
int zt_ipc_set_values(zt_ipcs *ipcs, int32_t vid, const void *values, const void *pids);
/* What is undone when a process ends (SEM_UNDO): process, semaphore, by how much, as int32_t; `capacity`
 * of these at most. How many there are. And that one is to be. */
int32_t zt_ipc_undos(zt_ipcs *ipcs, int32_t vid, void *ret, int32_t capacity);
int zt_ipc_note_undo(zt_ipcs *ipcs, int32_t vid, int32_t process, int32_t semaphore, int32_t by);
/* Message number `index` of a queue, which stays there, as a struct msgbuf (msgsnd(2)) with `capacity` for
 * its text: how much that is. -ENOMSG: there is none. */
int64_t zt_ipc_message(zt_ipcs *ipcs, int32_t vid, int64_t index, void *ret, uint64_t capacity);
int zt_ipc_send(zt_ipcs *ipcs, int32_t vid, const void *message, uint64_t size);

/* --- loop */
int zt_loop_launch(zt_pod *pod, const zt_launch_spec *spec, int32_t *ret_rpid, zt_err *err);
int zt_loop_run(zt_pod *pod, zt_err *err); /* until woken or empty; 1: woken, 0: empty, -1: it cannot go on */
int zt_loop_freeze(zt_pod *pod, int32_t timeout_ms, zt_err *err); /* ZT_ERR_TIMEOUT: it is running again */
int zt_loop_thaw(zt_pod *pod, zt_err *err);
int zt_loop_kill(zt_pod *pod, zt_err *err); /* SIGKILL to all; returns when nothing is left, or it takes too long */

/* From now on calls are looked at without a stop, in programs that are launched (pod/looker.h), once zt_loop_look
 * runs on a thread of its own, which is to begin at once. 0: this kernel cannot do it. */
int zt_loop_look_begin(zt_pod *pod);
/* And threads are attached only while something needs it: before the first program. 0: not in this pod, or here. */
int zt_loop_detach(zt_pod *pod);
int zt_pod_detaches(zt_pod *pod);
void zt_loop_look_end(zt_pod *pod); /* nothing of the pod is left: zt_loop_look returns */

/* --- from any thread */
void zt_loop_look(zt_pod *pod);
int32_t zt_can_look(void); /* 1: this kernel can do it */
void zt_loop_wake(zt_pod *pod);   /* zt_loop_run returns soon; after a wake just before it began, perhaps not */
int zt_loop_frozen(zt_pod *pod);
void zt_loop_cancel(zt_pod *pod, int32_t wanted); /* 1: a freeze that is under way gives up; 0: freezes do not */

/* --- ids */
int32_t zt_ids_to_real(zt_pod *pod, int32_t vpid);    /* 0: not in the pod */
int32_t zt_ids_to_virtual(zt_pod *pod, int32_t rpid); /* 0: not in the pod */
int zt_ids_bind(zt_pod *pod, int32_t vpid, int32_t rpid);
/* A process as sockets tell it, which may have ended long ago; 0: it never was in the pod. */
int32_t zt_ids_peer(zt_pod *pod, int32_t rpid);
/* Process rpid has ended. What it left in sockets was left by vpid, which had ended before the pod moved. */
int zt_ids_stood_in(zt_pod *pod, int32_t vpid, int32_t rpid);
void zt_pod_set_dumpable(zt_pod *pod, int32_t rpid, int32_t dumpable); /* what a process is told of itself */

/* --- seccomp filters of a program's own, pod/seccomp.h */
void zt_pod_set_filter(zt_pod *pod, int32_t rtid, int32_t filter, int32_t no_new_privs);
int32_t zt_seccomp_preamble(void *ret, int32_t capacity); /* what stands in front of each, as BPF: its bytes */

/* --- senders of messages (SO_PASSCRED) in a pod that moved: calls that tell them stop only where needed */
void zt_pod_show_senders(zt_pod *pod);  /* in all processes that are made from now on */
int zt_pod_wants(zt_pod *pod);          /* somebody awaits a freeze, for this or for what is kept */
int zt_pod_wants_senders(zt_pod *pod);  /* 1, and then 0 again: somebody has asked, and awaits a freeze */
int32_t zt_filter_code(int32_t kept, void *ret, int32_t capacity); /* what makes them stop, as BPF: its bytes */

/* --- connections that were accepted to be looked at, and wait for the pod to accept them (zaptrace/pod/keeping.py) */
int zt_pod_keep(zt_pod *pod, uint32_t inode, int32_t waits); /* at that listener such wait, or none: 0, or -ENOMEM */
int32_t zt_pod_keeps(zt_pod *pod); /* do processes stop where they accept? The filter for it is zt_filter_code(1) */
int32_t zt_pod_wants_kept(zt_pod *pod); /* a thread that is about to accept one, and awaits a freeze; 0: none */

/* --- addresses of connections that are not this host's (csrc/resources/inet_socket.c) */
void zt_pod_show_addresses(zt_pod *pod); /* in all processes that are made from now on */

/* --- pasts. Of a process also when it has ended and nobody has waited for it. All 0: it has none. */
void zt_past_get_thread(zt_pod *pod, int32_t rtid, zt_thread_past *ret);
void zt_past_get_process(zt_pod *pod, int32_t rpid, zt_process_past *ret);
int zt_past_set_thread(zt_pod *pod, int32_t rtid, const zt_thread_past *past);    /* 0, or -ENOMEM */
int zt_past_set_process(zt_pod *pod, int32_t rpid, const zt_process_past *past);  /* 0, or -ENOMEM */

/* --- one stopped thread */
int zt_regs_get(zt_pod *pod, int32_t rtid, zt_regs *ret, zt_err *err);
int zt_regs_set(zt_pod *pod, int32_t rtid, const zt_regs *regs, zt_err *err);
int zt_xstate_get(zt_pod *pod, int32_t rtid, void *ret, uint64_t capacity, uint64_t *ret_size, zt_err *err);
int zt_xstate_set(zt_pod *pod, int32_t rtid, const void *state, uint64_t size, zt_err *err);
int zt_sigmask_get(zt_pod *pod, int32_t rtid, uint64_t *ret, zt_err *err);
int zt_sigmask_set(zt_pod *pod, int32_t rtid, uint64_t mask, zt_err *err);
int zt_siginfo_peek(zt_pod *pod, int32_t rtid, int32_t shared, void *ret, int32_t most, int32_t *ret_count,
                    zt_err *err);
int zt_rseq_get(zt_pod *pod, int32_t rtid, zt_rseq *ret, zt_err *err); /* address 0: none */
/* The call that its registers show as interrupted shall go on: for left_ns (-1: as it was asked), with a
 * control buffer of the size that zt_task_info told. */
int zt_call_reissue(zt_pod *pod, int32_t rtid, int64_t left_ns, int64_t control_size, zt_err *err);
/* The call that it makes again once the pod has stood still: its number, and six arguments; -1: it makes none so. */
int zt_call_asked(zt_pod *pod, int32_t rtid, int64_t ret[7], zt_err *err);
/* It is not made: it has answered this. */
int zt_call_answer(zt_pod *pod, int32_t rtid, int64_t answer, zt_err *err);
/* It waits in a queue again, before those with higher numbers (zt_task_info.queued). */
int zt_call_queue(zt_pod *pod, int32_t rtid, int64_t queued, zt_err *err);
int zt_loop_run_program(zt_pod *pod, int32_t rtid, zt_program_row *rows, uint32_t count, void *data, uint32_t size,
                        uint32_t *ret_done, zt_err *err);
/* End a process by a signal that it does not handle; its parent finds it so. */
int zt_loop_end_process(zt_pod *pod, int32_t rtid, int32_t signal, zt_err *err);
/* Put all threads of a process into the group-stop that a signal makes by default. */
int zt_loop_stop_process(zt_pod *pod, int32_t rpid, int32_t signal, zt_err *err);
/* And out of it, by SIGCONT, which is pending then; the process is at rest still. */
int zt_loop_continue_process(zt_pod *pod, int32_t rpid, zt_err *err);

/* End the first thread of a process, the others of which are at rest and go on; with this status
 * and these signals blocked. */
int zt_loop_end_first(zt_pod *pod, int32_t rpid, int32_t status, uint64_t mask, zt_err *err);
/* A thread waits, as after a vfork, until another has executed or ended. */
int zt_loop_await(zt_pod *pod, int32_t rtid, int32_t child_rtid, zt_err *err);

/* --- the table of system calls (csrc/syscalls.py) */
const char *zt_call_name(int32_t nr); /* NULL: no row */
int32_t zt_call_count(void);

/* --- addresses of the stub region, and memory */
uint64_t zt_stub_start(void);
uint64_t zt_stub_end(void);
/* Within it: our vDSO from the start to here, and the host's own from here to the data. */
uint64_t zt_stub_vdso_end(void);
uint64_t zt_stub_host(void);
uint64_t zt_stub_data(uint32_t rows);  /* where the data of a program of so many rows will lie */
uint32_t zt_stub_capacity(void);       /* bytes for rows and data together */
int64_t zt_mem_read(int32_t rpid, uint64_t address, void *ret, uint64_t size);
int64_t zt_mem_write(int32_t rpid, uint64_t address, const void *from, uint64_t size);
/* Runs of a range, at most `capacity`; their number. *ret_next is where to go on. */
int zt_mem_pages(int pagemap_fd, uint64_t start, uint64_t end, int32_t what, zt_page_run *ret, int32_t capacity,
                 uint64_t *ret_next, zt_err *err);
/* The pages of a range that are all held, as ZT_RUN_HELD (mapped here alone) and ZT_RUN_OFTEN. */
int zt_mem_often(int pagemap_fd, uint64_t start, uint64_t end, zt_page_run *ret, int32_t capacity, uint64_t *ret_next,
                 zt_err *err);
/* All bytes of some runs, one after the other. Those of kind ZT_RUN_HELD by process_vm_readv, which
 * is fast but pins pages, and so makes the kernel copy those that others share; all others by
 * /proc/PID/mem (mem_fd). Returns how many runs were read: fewer than count, that one is unreadable. */
int32_t zt_mem_gather(int32_t rpid, int mem_fd, const zt_page_run *runs, int32_t count, void *ret);
/* Pages of a range that are equal in two processes, as runs; a page that one of them lacks is not. */
int zt_mem_equal(int mem_fd1, int mem_fd2, uint64_t start, uint64_t end, zt_page_run *ret, int32_t capacity,
                 uint64_t *ret_next);
/* A hash of every page of a range, to find candidates by; -1: one is unreadable. */
int32_t zt_mem_hashes(int mem_fd, uint64_t start, uint64_t end, uint64_t *ret);
int zt_kcmp(int32_t rpid1, int32_t rpid2, int32_t type, uint64_t idx1, uint64_t idx2);
int zt_pidfd_getfd(int32_t rtid, int32_t fd);

/* --- the processor, as any program may ask it */
void zt_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t *ret); /* eax, ebx, ecx, edx; of a leaf that it has */
uint64_t zt_xcr0(void);                                       /* 0: it has no XSAVE, or the kernel uses none */
/* --- from any thread, without a pod: plain msgpack, before anything is made of it */
#define ZT_PLAIN_SHORT 1    /* cut short */
#define ZT_PLAIN_TOO_MANY 2 /* more values than there may be, or a map that is too wide */
#define ZT_PLAIN_TOO_DEEP 3
#define ZT_PLAIN_ALIEN 4 /* no plain data */
#define ZT_PLAIN_DEEPEST 32
#define ZT_PLAIN_WIDEST_MAP 65536
#define ZT_PLAIN_STRIDE 64
/* Is there one whole value at the start of `data`, of at most *values values, and at most `depth`
 * lists and maps within each other? A value and a key count one, and one more for each
 * ZT_PLAIN_STRIDE bytes of a long one. 0, with how many bytes it has and how many values are left,
 * or ZT_PLAIN_... */
int32_t zt_plain_scan(const void *data, uint64_t size, uint32_t depth, uint64_t *values, uint64_t *ret_used);

"""What a pod does with every system call of Linux: one row each, and nothing else decides.

A row says by which *behaviour* a call is served, in which *room* the state that it touches lives,
*when* it stops at all, and, wherever a pod differs from the bare kernel, *why* (the note:
docs/syscalls.md is made of these). csrc/gen_tables.py turns the rows into the dispatch table and the
seccomp filters of the C half.

    Pass        runs untouched, and never stops
    Translate   ids in arguments or in the result are swapped by the table alone
    Answer      never reaches the kernel; the result comes from us
    Hook        a function of the room looks at it, before (enter) and/or after (exit) the kernel
    Refuse      an errno, on purpose; the tracer gives it, and counts it (zaptrace ps POD)

A number with no row answers ENOSYS: an unknown call could make state that cannot be carried.

The numbers are literal, because the headers of the machine that builds may be older than the kernel
that runs. Source: arch/x86/entry/syscalls/syscall_64.tbl of Linux 6.18; its newest is file_setattr.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import Enum, Flag, auto


class Space(Enum):
    """A number space of the kernel that a pod has its own of.

    Threads, processes, groups and sessions share one: a group is named by the id of its first
    process. As arguments, 0 and below mean "the caller" or "all": the table leaves them alone, and
    hooks see to them.
    """

    PID = "pid"


PID = Space.PID


# -- behaviours ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pass:
    """Runs untouched."""


@dataclass(frozen=True)
class Translate:
    """Ids are swapped by the table: those in `args` on the way in, the `result` on the way out."""

    args: Mapping[int, Space] = field(default_factory=dict)
    result: Space | None = None


@dataclass(frozen=True)
class Answer:
    """The kernel is not asked: `zt_<name>_enter` gives the result."""


@dataclass(frozen=True)
class Hook:
    """`zt_<name>_enter` sees the call before the kernel does, `zt_<name>_exit` sees the result."""

    enter: bool = True
    exit: bool = False


@dataclass(frozen=True)
class Share:
    """Argument `arg` says whose call it is: each room has hooks of its own for its `values`.

    They are named `zt_<name>_<room>_enter` and `_exit`; with any other value the call runs untouched.
    """

    arg: int
    hooks: Mapping[str, Hook]
    values: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Refuse:
    """Fails with this errno, given by name."""

    errno: str

    @property
    def number(self) -> int:
        return getattr(errno, self.errno)


Behaviour = Pass | Translate | Answer | Hook | Share | Refuse


# -- conditions: what the filter can see of a call -------------------------------------------------


@dataclass(frozen=True)
class ArgIn:
    """The low 32 bits of argument `arg` equal one of `values`, or (`negative`) are below 0."""

    arg: int
    values: tuple[int | str, ...]  # text is C, of the architecture's
    negative: bool = False


@dataclass(frozen=True)
class ArgMask:
    """Any of `bits` is set in the low 32 bits of argument `arg`; or (`clear`) none is."""

    arg: int
    bits: int
    clear: bool = False


@dataclass(frozen=True)
class ArgPtr:
    """Argument `arg` is not NULL, all 64 bits of it."""

    arg: int


@dataclass(frozen=True)
class AnyOf:
    """One of these holds."""

    conditions: tuple[ArgIn | ArgMask | ArgPtr, ...]


Condition = ArgIn | ArgMask | ArgPtr | AnyOf


def arg_in(arg: int, *values: int) -> ArgIn:
    return ArgIn(arg, values)


def arg_in_or_negative(arg: int, *values: int) -> ArgIn:
    return ArgIn(arg, values, negative=True)


def arg_mask(arg: int, bits: int) -> ArgMask:
    return ArgMask(arg, bits)


def never_named(arg: int) -> tuple[ArgMask, ArgMask]:
    """Flags of open(2) for a file that linkat(2) gives no name."""
    return arg_mask(arg, O_TMPFILE), arg_mask(arg, O_EXCL)


def arg_multiple(arg: int, power_of_two: int) -> ArgMask:
    return ArgMask(arg, power_of_two - 1, clear=True)


def arg_nonzero(arg: int) -> ArgMask:
    """An int that is not 0: the kernel, too, looks at the low half only."""
    return ArgMask(arg, 0xFFFF_FFFF)


def arg_not_negative(arg: int) -> ArgMask:
    return ArgMask(arg, 1 << 31, clear=True)


def arg_ptr(arg: int) -> ArgPtr:
    return ArgPtr(arg)


def any_of(*conditions: ArgIn | ArgMask | ArgPtr) -> AnyOf:
    return AnyOf(conditions)


# -- waiting: what a freeze would show of itself (csrc/pod/blocked/) -------------------------------


@dataclass(frozen=True)
class ArgIs:
    """The bits of `mask` in the low 32 bits of argument `arg` are those of `value`."""

    arg: int
    value: int
    mask: int = 0xFFFF_FFFF


class Unit(Enum):
    MILLISECONDS = "ZT_MILLISECONDS"
    TIMESPEC = "ZT_TIMESPEC"


@dataclass(frozen=True)
class Timeout:
    """Argument `arg` says how long the call waits at most; if `span` does not hold, until when.

    A moment needs no help: the same arguments mean the same time.
    """

    arg: int
    unit: Unit
    span: ArgIs | None = None


def milliseconds(arg: int) -> Timeout:
    return Timeout(arg, Unit.MILLISECONDS)


def timespec(arg: int, span: ArgIs | None = None) -> Timeout:
    return Timeout(arg, Unit.TIMESPEC, span)


class Shape(Enum):
    """How a call says what it is to move: by the arguments `at` and `size` of its Part."""

    BYTES = "ZT_SHAPE_BYTES"  # an address, and how many bytes
    VECTOR = "ZT_SHAPE_VECTOR"  # struct iovec[], and how many of them
    MESSAGE = "ZT_SHAPE_MESSAGE"  # struct msghdr
    MESSAGES = "ZT_SHAPE_MESSAGES"  # struct mmsghdr[], and how many of them
    LENGTH = "ZT_SHAPE_LENGTH"  # only how many bytes: the kernel keeps the places itself
    EVENTS = "ZT_SHAPE_EVENTS"  # struct io_event[], how many at most, and before that, at least


class On(Flag):
    """What a descriptor can be of, as far as that tells a call that was cut short from one that was
    done. csrc/pod/call.h says what each means.
    """

    PIPE = auto()
    PIPE_END = auto()
    SOCKET = auto()
    STREAM = auto()
    TTY = auto()
    TTY_MINIMUM = auto()
    MEMORY = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Part:
    """A stop can cut the call short after a part was moved; it then answers how much that was.

    on      it is cut short on descriptors of this kind (None: on whatever it works)
    fd      the argument that is this descriptor
    when    only then; otherwise it gives back what there is, and that is no part of anything
    flags   the argument with its flags, where there is one ...
    also    ... and what is set there for the rest
    drop    arguments that were of use for the first part only
    noted   the socket has noted the cut as its error
    """

    shape: Shape
    at: int = 0
    size: int = 0
    _: KW_ONLY
    on: On | None = None
    fd: int = 0
    when: ArgIs | None = None
    receives: bool = False
    flags: int | None = None
    also: int = 0
    drop: tuple[int, ...] = ()
    noted: bool = False


# -- rows ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One system call.

    when     the call stops only if all of these hold; otherwise it runs untouched
    moved    it stops only in pods that were restored; in one that never moved, every id and clock
             is still the kernel's own
    unmoved  it does stop in those, too, but only if this holds as well
    exit_moved  its exit half has something to do in pods that were restored alone
    senders  it stops only in pods that were restored and are shown senders (of messages by
             SO_PASSCRED, of signals by a signalfd): a filter of its own says so, which can be put
             on later
    addresses  the same in pods that have connections whose addresses are not the host's
    kept     the same in pods, restored or not, of which connections are kept that wait to be accepted
    looks    its hook changes nothing of the call where ids are the kernel's own: it answers, or lets it go
    looks_if  where these hold its hook does so in pods that were restored, too
    timeout  how long it waits
    eintr    it answers EINTR to any stop, with or without a handler (signal(7))
    queue    those who wait in it are served in turn, so they have to wait again in their order
    part     what it does when it is stopped halfway
    note     why it is not simply passed, or what to know if it is
    """

    name: str
    behaviour: Behaviour = Pass()
    _: KW_ONLY
    x86_64: int
    room: str = ""  # the TABLE fills it in
    when: Condition | tuple[Condition, ...] = ()
    moved: bool = False
    unmoved: Condition | None = None
    exit_moved: bool = False
    senders: bool = False
    addresses: bool = False
    kept: bool = False
    looks: bool = False
    looks_if: tuple[Condition, ...] = ()
    timeout: Timeout | None = None
    eintr: bool = False
    queue: bool = False
    part: Part | None = None
    note: str = ""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        own = self.when if isinstance(self.when, tuple) else (self.when,)
        if isinstance(self.behaviour, Share):
            spoken = [v for values in self.behaviour.values.values() for v in values]
            return (*own, arg_in(self.behaviour.arg, *spoken))
        return own

    def stops_if(self, *, moved: bool) -> tuple[Condition, ...] | None:
        """What must hold for it to stop in such a pod; None: it never does."""
        if isinstance(self.behaviour, Pass) or self.senders or self.addresses:
            return None
        if moved or not self.moved:
            return self.conditions
        return (*self.conditions, self.unmoved) if self.unmoved else None

    def is_looked(self, *, moved: bool) -> bool:
        """Is it answered, or let go as it is, so that it need not stop (csrc/pod/looker.h)?"""
        match self.behaviour:
            case Answer() | Refuse():
                return True
            case Translate():  # in a pod that never moved, its numbers are right, or of nobody
                return not moved and not self.moved
            case Hook(exit=exit):
                return not moved and self.looks and (not exit or self.exit_moved)
        return False

    @property
    def enter(self) -> str | None:
        """The name of the C function that sees the call before the kernel does."""
        match self.behaviour:
            case Answer() | Hook(enter=True):
                return f"zt_{self.name}_enter"
            case Share(hooks=hooks) if any(hook.enter for hook in hooks.values()):
                return f"zt_{self.name}_enter"
        return None

    @property
    def exit(self) -> str | None:
        """The name of the C function that sees the result."""
        match self.behaviour:
            case Hook(exit=True):
                return f"zt_{self.name}_exit"
            case Share(hooks=hooks) if any(hook.exit for hook in hooks.values()):
                return f"zt_{self.name}_exit"
        return None


@dataclass(frozen=True)
class Room:
    """Where the state lives that these calls make or touch, with its heading in docs/syscalls.md."""

    name: str
    title: str
    rows: tuple[Row, ...]


def _room(name: str, title: str, *rows: Row) -> Room:
    return Room(name, title, tuple(replace(row, room=name) for row in rows))


# -- values from the kernel's headers (include/uapi) -----------------------------------------------

AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
O_EXCL = 0x80
O_TMPFILE = 0x40_0000  # the bit that no other flag has
CLONE_UNTRACED = 0x0080_0000
CLONE_VFORK = 0x0000_4000
CLOSE_RANGE_UNSHARE = 2
CLONE_NAMESPACES = (
    0x0002_0000  # CLONE_NEWNS
    | 0x0200_0000  # CLONE_NEWCGROUP
    | 0x0400_0000  # CLONE_NEWUTS
    | 0x0800_0000  # CLONE_NEWIPC
    | 0x1000_0000  # CLONE_NEWUSER
    | 0x2000_0000  # CLONE_NEWPID
    | 0x4000_0000  # CLONE_NEWNET
)  # not CLONE_NEWTIME (0x80), which is clone3's alone: in clone it is part of the exit signal

WNOHANG = 1
ARCH_GET_CPUID, ARCH_SET_CPUID = 0x1011, 0x1012
PTRACE_TRACEME = 0
P_PIDFD = 3  # it waits for nothing where the pidfd has O_NONBLOCK

PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_GET_SECCOMP = 21
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS = 38, 39
PR_SET_MM = 35
PR_SET_SYSCALL_USER_DISPATCH = 59
PR_SCHED_CORE = 62
PR_SET_PTRACER = 0x59616D61
PRCTL_THAT_IS_OURS = (
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
    PR_GET_SECCOMP,
    PR_SET_SECCOMP,
    PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS,
    PR_SET_MM,
    PR_SET_SYSCALL_USER_DISPATCH,
    PR_SCHED_CORE,
    PR_SET_PTRACER,
)
SECCOMP_SET_MODE_STRICT, SECCOMP_SET_MODE_FILTER = 0, 1
# Commands of keyctl(2) that make or find a key: GET_KEYRING_ID, JOIN_SESSION_KEYRING, LINK, SEARCH,
# GET_PERSISTENT, MOVE. csrc/resources/keys.c tells them apart.
KEYCTL_THAT_HOLDS = (0, 1, 8, 10, 22, 30)

CLOCK_MONOTONIC = 1
CLOCK_PROCESS_CPUTIME_ID = 2
CLOCK_THREAD_CPUTIME_ID = 3
CLOCK_MONOTONIC_RAW = 4
CLOCK_MONOTONIC_COARSE = 6
CLOCK_BOOTTIME = 7
CLOCK_BOOTTIME_ALARM = 9
# The clocks that start with the host. csrc/vdso/vdso.c has the same set.
SHIFTED_CLOCKS = (
    CLOCK_MONOTONIC,
    CLOCK_MONOTONIC_RAW,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_BOOTTIME,
    CLOCK_BOOTTIME_ALARM,
)
RLIMIT_CPU = 0
TIMER_ABSTIME = 1  # TFD_TIMER_ABSTIME is the same bit

FUTEX_CMD_MASK = 0x7F
FUTEX_WAIT = 0
FUTEX_LOCK_PI = 6
FUTEX_UNLOCK_PI = 7
FUTEX_TRYLOCK_PI = 8
FUTEX_WAIT_BITSET = 9
FUTEX_WAIT_REQUEUE_PI = 11
FUTEX_CMP_REQUEUE_PI = 12
FUTEX_LOCK_PI2 = 13
FUTEX_PRIVATE_FLAG = 128
FUTEX_CLOCK_REALTIME = 256
# The operations that go by numbers of threads, with the flags that they may have.
FUTEX_OPS_PI = tuple(
    op | private | clock
    for op in (
        FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_LOCK_PI2,
        FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI,
    )
    for private in (0, FUTEX_PRIVATE_FLAG)
    for clock in (0, FUTEX_CLOCK_REALTIME)
    if not clock or op in (FUTEX_LOCK_PI2, FUTEX_WAIT_REQUEUE_PI)
)  # fmt: skip
# One more whose timeout is a moment on the monotonic clock. FUTEX_WAIT's is a duration, and with
# FUTEX_CLOCK_REALTIME it is on that clock.
FUTEX_OPS_UNTIL_MONOTONIC = (FUTEX_WAIT_BITSET, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG)

F_GETLK = 5
F_SETOWN = 8
F_GETOWN = 9
F_SETOWN_EX = 15
F_GETOWN_EX = 16
F_OFD_GETLK = 36
F_NOTIFY = 1026
FCNTL_OF_OWNERS = (F_GETLK, F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX, F_OFD_GETLK)

TIOCGPGRP = 0x540F
TIOCSPGRP = 0x5410
TIOCGSID = 0x5429
TTY_IOCTLS_OF_IDS = (TIOCGPGRP, TIOCSPGRP, TIOCGSID)

# _IOWR(0xff, 11, struct pidfd_info), which has 64 bytes or more: the struct grows with kernels
PIDFD_GET_INFO = tuple(0xC000_FF0B | size << 16 for size in range(64, 136, 8))

SOL_SOCKET = 1
SO_PEERCRED = 17
# What getsockopt does not show, each of one level: csrc/resources/inet_socket.c knows which.
UNSEEN_OPTIONS = (
    14,  # TCP_MD5SIG
    32,  # IP_MULTICAST_IF, TCP_MD5SIG_EXT
    38,  # TCP_AO_ADD_KEY
    51,  # SO_ATTACH_REUSEPORT_CBPF
    52,  # SO_ATTACH_REUSEPORT_EBPF
    68,  # SO_DETACH_REUSEPORT_BPF
)
# To be shown senders. csrc/resources/unix_socket.c has the same set.
SENDER_OPTIONS = (
    16,  # SO_PASSCRED
    76,  # SO_PASSPIDFD
)

MSG_DONTWAIT = 0x40
MSG_WAITALL = 0x100
MSG_NOSIGNAL = 0x4000
MSG_WAITFORONE = 0x1_0000
RWF_NOWAIT = 8
SPLICE_F_NONBLOCK = 2


# -- parts that many rows share --------------------------------------------------------------------

WRITTEN = On.PIPE | On.SOCKET | On.TTY | On.MEMORY
NOT_A_PIPE = On.SOCKET | On.TTY | On.MEMORY | On.OTHER  # a pipe takes what there is room for

WRITE = Part(Shape.BYTES, 1, 2, on=WRITTEN)
WRITEV = Part(Shape.VECTOR, 1, 2, on=WRITTEN)
PWRITEV2 = replace(WRITEV, when=ArgIs(5, 0, RWF_NOWAIT))
READ = Part(Shape.BYTES, 1, 2, on=On.MEMORY | On.TTY_MINIMUM)
PREAD = replace(READ, on=On.MEMORY)
READV = Part(Shape.VECTOR, 1, 2, on=On.MEMORY)
GETRANDOM = Part(Shape.BYTES, 0, 1)
SENDFILE = Part(Shape.LENGTH, size=3, on=NOT_A_PIPE)
SPLICE = Part(Shape.LENGTH, size=4, on=NOT_A_PIPE, fd=2, flags=5, also=SPLICE_F_NONBLOCK)
VMSPLICE = Part(Shape.VECTOR, 1, 2, on=On.PIPE_END, flags=3, also=SPLICE_F_NONBLOCK)
COPY_FILE_RANGE = Part(Shape.LENGTH, size=4)
GETEVENTS = Part(Shape.EVENTS, 3, 2)


def _sent(shape: Shape, *, flags: int, drop: tuple[int, ...] = ()) -> Part:
    """Natively, SIGPIPE comes only when nothing was moved (net/unix/af_unix.c, pipe_err)."""
    return Part(shape, 1, 2, on=On.SOCKET, when=ArgIs(flags, 0, MSG_DONTWAIT),
                flags=flags, also=MSG_NOSIGNAL, drop=drop)  # fmt: skip


def _received(shape: Shape, *, flags: int, drop: tuple[int, ...] = ()) -> Part:
    """All that was asked for, if it was asked for so: else what there is, and that is no part."""
    when = ArgIs(flags, MSG_WAITALL, MSG_WAITALL | MSG_DONTWAIT)
    return Part(shape, 1, 2, on=On.STREAM, when=when, receives=True, flags=flags, drop=drop)


SENDTO = _sent(Shape.BYTES, flags=3, drop=(4, 5))
SENDMSG = _sent(Shape.MESSAGE, flags=2)
SENDMMSG = _sent(Shape.MESSAGES, flags=3)
RECVFROM = _received(Shape.BYTES, flags=3, drop=(4, 5))
RECVMSG = _received(Shape.MESSAGE, flags=2)
RECVMMSG = Part(Shape.MESSAGES, 1, 2, on=On.SOCKET, receives=True, noted=True, flags=3,
                when=ArgIs(3, 0, MSG_DONTWAIT | MSG_WAITFORONE))  # fmt: skip

RELATIVE = ArgIs(1, 0, TIMER_ABSTIME)
FUTEX_SPAN = ArgIs(1, FUTEX_WAIT, FUTEX_CMD_MASK)


# -- notes that many rows share --------------------------------------------------------------------

NOT_OF_THE_POD = "an id that is not of the pod does not exist in it"
NAMED_BY_ID = "another process is named by its id; 0 is the caller and runs untouched"
USED = "what was used before the pod moved is added"
LIMITED = "the kernel's limit on CPU time is lower by what was used before the pod moved"
WHO = "who is a process, a group or a user, as which says; 0 is the caller"
OTHER_ID = "the kernel knows the process by another id"
OTHER_SESSION = "the kernel knows the session by another id"
WAITED = (
    "the id to wait for, and the id that is reported, have changed; with WNOHANG, or a pidfd that may "
    "have O_NONBLOCK, a child that has ended is to be found, though zaptrace hears of its end first"
)
BY_PIDFD = "names the process by a pidfd, which pidfd_open has checked"
DEADLINE = "the deadline is a moment on the pod's monotonic clock"
EXPIRY = "the moment to expire is on the pod's clock"
CLONE_EVENT = "the clone event of ptrace tells the new id"
EXEC_EVENT = "the exec event of ptrace is enough"
OPEN_REFUSED = "refused at a checkpoint that finds its descriptor open"
FANOTIFY = "watches this host's file systems, so never carried: " + OPEN_REFUSED
RING = "the state of a ring cannot be carried; programs fall back to epoll or threads"
ONE_SET = "a pod has one set of namespaces, and cannot take new ones along"
NEVER_NAMED = "with O_TMPFILE and O_EXCL: nobody tells afterwards that it may get no name"
CAPABILITY = "needs a capability"
HOSTS_CLOCK = "setting the host's clock needs a capability"
SCM = "the same; of more than two such messages it sends fewer than it was asked to, as it may"
SENDERS = "senders are named by their ids"
OTHER_ADDRESS = "a connection within the pod may have another address on this host"
SIGNALFD = "from the first one on, reads are looked at for the senders of signals"
SYSV_KEY = "keys are the pod's own; /proc/sysvipc is still the host's"
SYSV_ID = "the number is the pod's own"
SYSV_STAT = "numbers, keys, processes and times are the pod's own, and so is what is enumerated"
SYSV_UNDO = "what SEM_UNDO is to undo is noted, for the kernel tells nobody"
SIGEV = "the thread of SIGEV_THREAD_ID is not translated yet"
IN_HEADER = "an id other than 0 inside the header is not translated yet"
KEYS = "noted: keys stay with the host's kernel, and while one is there a checkpoint is refused"
GONE = "Linux serves this number no longer"
ONLY_32 = "for 32-bit programs only"
TRAMPOLINE = "for trampolines that the kernel makes, never for programs"


# -- the table -------------------------------------------------------------------------------------

ENTER = Hook()
EXIT = Hook(enter=False, exit=True)
BOTH = Hook(enter=True, exit=True)
SETSOCKOPT = Share(
    2,
    {"inet_socket": EXIT, "unix_socket": BOTH},
    {"inet_socket": UNSEEN_OPTIONS, "unix_socket": SENDER_OPTIONS},
)

# fmt: off
TABLE: tuple[Room, ...] = (
    _room(
        "process", "Making, running and ending processes; every id they have",
        Row("fork", x86_64=57, note=CLONE_EVENT),
        Row("vfork", ENTER, x86_64=58,
            note="the maker waits for its child with us, not in the kernel, so that it can be frozen"),
        Row("clone", ENTER, x86_64=56,
            when=arg_mask(0, CLONE_NAMESPACES | CLONE_UNTRACED | CLONE_VFORK),
            note="no new namespaces, and no escape from the tracer; CLONE_VFORK waits with us"),
        Row("clone3", ENTER, x86_64=435,
            note="its flags, and set_tid, lie in memory where the filter cannot look; glibc is told ENOSYS "
                 "when it makes a thread by it, and makes it by clone"),
        Row("unshare", BOTH, x86_64=272,
            note="no new namespaces; what was shared is the thread's own from then on"),
        Row("execve", x86_64=59, note=EXEC_EVENT),
        Row("execveat", x86_64=322, note=EXEC_EVENT),
        Row("exit", x86_64=60),
        Row("exit_group", x86_64=231),
        Row("wait4", BOTH, x86_64=61, moved=True, unmoved=arg_mask(2, WNOHANG),
            exit_moved=True, note=WAITED),
        Row("waitid", BOTH, x86_64=247, moved=True,
            unmoved=any_of(arg_mask(3, WNOHANG), arg_in(0, P_PIDFD)),
            exit_moved=True, note=WAITED),
        Row("getpid", Answer(), x86_64=39, moved=True, note=OTHER_ID),
        Row("gettid", Answer(), x86_64=186, moved=True, note=OTHER_ID),
        Row("getppid", Answer(), x86_64=110,
            note="the kernel would name the supervisor: an orphan sees process 1 as its parent"),
        Row("getpgrp", Answer(), x86_64=111, moved=True, note=OTHER_ID),
        Row("getpgid", Answer(), x86_64=121, note=NOT_OF_THE_POD),
        Row("getsid", Answer(), x86_64=124, note=NOT_OF_THE_POD),
        Row("setpgid", Translate(args={0: PID, 1: PID}), x86_64=109, note=NOT_OF_THE_POD),
        Row("setsid", Translate(result=PID), x86_64=112, moved=True, note=OTHER_SESSION),
        Row("set_tid_address", Translate(result=PID), x86_64=218, moved=True, note=OTHER_ID),
        Row("kcmp", Translate(args={0: PID, 1: PID}), x86_64=312, note=NOT_OF_THE_POD),
        Row("prctl", BOTH, x86_64=157, when=arg_in(0, *PRCTL_THAT_IS_OURS),
            note="what would lock zaptrace out is noted and answered, or seems not to be there; "
                 "filters are noted"),
        Row("personality", x86_64=135,
            note="READ_IMPLIES_EXEC and friends are part of the process's state"),
        Row("restart_syscall", x86_64=219),
        Row("uselib", Refuse("ENOSYS"), x86_64=134, note=GONE),
        Row("modify_ldt", x86_64=154, note="segments of a process are not carried yet"),
        Row("set_thread_area", Refuse("ENOSYS"), x86_64=205, note=ONLY_32),
        Row("get_thread_area", Refuse("ENOSYS"), x86_64=211, note=ONLY_32),
    ),
    _room(
        "signal", "Signals, and whom they are sent to",
        Row("kill", ENTER, looks=True, looks_if=(arg_in(1, 0), arg_not_negative(0)), x86_64=62,
            note="0, -1 and negative ids mean many processes, and only those of the pod"),
        Row("tkill", Translate(args={0: PID}), x86_64=200, note=NOT_OF_THE_POD),
        Row("tgkill", Translate(args={0: PID, 1: PID}), x86_64=234, note=NOT_OF_THE_POD),
        Row("rt_sigqueueinfo", Translate(args={0: PID}), x86_64=129, note=NOT_OF_THE_POD),
        Row("rt_tgsigqueueinfo", Translate(args={0: PID, 1: PID}), x86_64=297,
            note=NOT_OF_THE_POD),
        Row("rt_sigaction", x86_64=13),
        Row("rt_sigprocmask", x86_64=14),
        Row("rt_sigpending", x86_64=127),
        Row("rt_sigsuspend", x86_64=130),
        Row("rt_sigtimedwait", EXIT, x86_64=128, timeout=timespec(2), eintr=True, moved=True,
            note="the siginfo names the sender by its id"),
        Row("rt_sigreturn", x86_64=15),
        Row("sigaltstack", x86_64=131),
        Row("pause", x86_64=34),
    ),
    _room(
        "thread", "Threads: futexes, scheduling, processor and memory placement",
        Row("futex", BOTH, x86_64=202, moved=True, timeout=timespec(3, FUTEX_SPAN),
            when=(arg_in(1, *FUTEX_OPS_UNTIL_MONOTONIC, *FUTEX_OPS_PI),
                  any_of(arg_ptr(3), arg_in(1, *FUTEX_OPS_PI))),
            note=DEADLINE + "; a futex with priority inheritance names its owner by an id, so "
                 "zaptrace hands it over"),
        Row("futex_wait", ENTER, x86_64=455, moved=True,
            when=(arg_ptr(4), arg_in(5, CLOCK_MONOTONIC)), note=DEADLINE),
        Row("futex_wake", x86_64=454),
        Row("futex_requeue", x86_64=456),
        Row("futex_waitv", ENTER, x86_64=449, moved=True,
            when=(arg_ptr(3), arg_in(4, CLOCK_MONOTONIC)), note=DEADLINE),
        Row("set_robust_list", x86_64=273,
            note="the owner in a robust futex is an id of the pod: zaptrace walks the list"),
        Row("get_robust_list", Translate(args={0: PID}), x86_64=274, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("rseq", x86_64=334, note="the area is registered again at the restore"),
        Row("membarrier", x86_64=324),
        Row("getcpu", x86_64=309),
        Row("sched_yield", x86_64=24),
        Row("sched_setparam", Translate(args={0: PID}), x86_64=142, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("sched_getparam", Translate(args={0: PID}), x86_64=143, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("sched_setscheduler", Translate(args={0: PID}), x86_64=144, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("sched_getscheduler", Translate(args={0: PID}), x86_64=145, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("sched_get_priority_max", x86_64=146),
        Row("sched_get_priority_min", x86_64=147),
        Row("sched_rr_get_interval", Translate(args={0: PID}), x86_64=148, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("sched_setaffinity", Translate(args={0: PID}), x86_64=203, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("sched_getaffinity", Translate(args={0: PID}), x86_64=204, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("sched_setattr", Translate(args={0: PID}), x86_64=314, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("sched_getattr", Translate(args={0: PID}), x86_64=315, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("getpriority", ENTER, looks=True, x86_64=140, when=arg_nonzero(1), note=WHO),
        Row("setpriority", ENTER, looks=True, x86_64=141, when=arg_nonzero(1), note=WHO),
        Row("ioprio_set", ENTER, looks=True, x86_64=251, when=arg_nonzero(1), note=WHO),
        Row("ioprio_get", ENTER, looks=True, x86_64=252, when=arg_nonzero(1), note=WHO),
    ),
    _room(
        "credentials", "Users, groups, capabilities, limits",
        Row("getuid", x86_64=102),
        Row("getgid", x86_64=104),
        Row("geteuid", x86_64=107),
        Row("getegid", x86_64=108),
        Row("setuid", x86_64=105),
        Row("setgid", x86_64=106),
        Row("setreuid", x86_64=113),
        Row("setregid", x86_64=114),
        Row("setresuid", x86_64=117),
        Row("getresuid", x86_64=118),
        Row("setresgid", x86_64=119),
        Row("getresgid", x86_64=120),
        Row("setfsuid", x86_64=122),
        Row("setfsgid", x86_64=123),
        Row("getgroups", x86_64=115),
        Row("setgroups", x86_64=116),
        Row("capget", x86_64=125, note=IN_HEADER),
        Row("capset", x86_64=126, note=IN_HEADER),
    ),
    _room(
        "clock", "Clocks and timers",
        Row("clock_gettime", BOTH, x86_64=228, moved=True,
            when=arg_in_or_negative(
                0, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, *SHIFTED_CLOCKS
            ),
            looks_if=(arg_in(0, *SHIFTED_CLOCKS),),
            note="clocks go on where they were; a CPU-time clock may be named by an id"),
        Row("clock_getres", ENTER, x86_64=229, moved=True, when=arg_in_or_negative(0),
            note="a CPU-time clock is named by an id"),
        Row("clock_settime", x86_64=227, note=HOSTS_CLOCK),
        Row("clock_adjtime", x86_64=305, note=HOSTS_CLOCK),
        Row("clock_nanosleep", ENTER, x86_64=230, moved=True, timeout=timespec(2, RELATIVE),
            when=arg_in_or_negative(0, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_BOOTTIME),
            note="the moment to wake is on the pod's clock; a CPU-time clock may be named by an id"),
        Row("nanosleep", x86_64=35, timeout=timespec(0)),
        Row("gettimeofday", x86_64=96),
        Row("settimeofday", x86_64=164, note=HOSTS_CLOCK),
        Row("adjtimex", x86_64=159, note=HOSTS_CLOCK),
        Row("time", x86_64=201),
        Row("sysinfo", Answer(), x86_64=99, moved=True, note="uptime goes on where it was"),
        Row("alarm", x86_64=37),
        Row("getitimer", x86_64=36),
        Row("setitimer", x86_64=38),
        Row("timer_create", BOTH, x86_64=222, moved=True,
            unmoved=arg_in_or_negative(0, CLOCK_THREAD_CPUTIME_ID),
            note="the threads that it signals and that it measures are named by ids; one that "
                 "measures its own thread is noted, as the kernel does not show whose it is"),
        Row("timer_settime", ENTER, x86_64=223, moved=True, when=arg_mask(1, TIMER_ABSTIME),
            note=EXPIRY),
        Row("timer_gettime", x86_64=224),
        Row("timer_getoverrun", x86_64=225),
        Row("timer_delete", x86_64=226),
    ),
    _room(
        "cpu_time", "CPU time and other things used, and the limit on it",
        Row("getrusage", EXIT, x86_64=98, moved=True, note=USED),
        Row("times", Answer(), x86_64=100, moved=True,
            note=USED + "; the result counts from the start of the host"),
        Row("getrlimit", EXIT, x86_64=97, moved=True, when=arg_in(0, RLIMIT_CPU), note=LIMITED),
        Row("setrlimit", ENTER, x86_64=160, moved=True, when=arg_in(0, RLIMIT_CPU), note=LIMITED),
        Row("prlimit64", BOTH, x86_64=302, moved=True, unmoved=arg_nonzero(0), exit_moved=True, looks=True,
            when=any_of(arg_nonzero(0), arg_in(1, RLIMIT_CPU)),
            note=NAMED_BY_ID + "; " + LIMITED),
    ),
    _room(
        "memory", "Memory",
        Row("mmap", x86_64=9),
        Row("munmap", x86_64=11),
        Row("mprotect", x86_64=10),
        Row("mremap", x86_64=25),
        Row("brk", x86_64=12),
        Row("madvise", x86_64=28),
        Row("mincore", x86_64=27),
        Row("msync", x86_64=26),
        Row("mlock", x86_64=149),
        Row("mlock2", x86_64=325),
        Row("munlock", x86_64=150),
        Row("mlockall", x86_64=151),
        Row("munlockall", x86_64=152),
        Row("remap_file_pages", x86_64=216),
        Row("mseal", x86_64=462),
        Row("map_shadow_stack", x86_64=453),
        Row("pkey_alloc", x86_64=330),
        Row("pkey_free", x86_64=331),
        Row("pkey_mprotect", x86_64=329),
        Row("mbind", EXIT, x86_64=237,
            note="once memory has a policy, a checkpoint asks for it"),
        Row("get_mempolicy", x86_64=239),
        Row("set_mempolicy", x86_64=238),
        Row("set_mempolicy_home_node", x86_64=450),
        Row("migrate_pages", Translate(args={0: PID}), x86_64=256, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("move_pages", Translate(args={0: PID}), x86_64=279, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("process_vm_readv", Translate(args={0: PID}), x86_64=310, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("process_vm_writev", Translate(args={0: PID}), x86_64=311, when=arg_nonzero(0),
            note=NAMED_BY_ID),
        Row("userfaultfd", x86_64=323, note=OPEN_REFUSED),
        Row("memfd_secret", x86_64=447,
            note="unreadable from outside: refused at a checkpoint that finds it open"),
    ),
    _room(
        "fdtable", "File descriptors",
        Row("close", x86_64=3),
        Row("close_range", EXIT, x86_64=436, when=arg_mask(2, CLOSE_RANGE_UNSHARE),
            note="with CLOSE_RANGE_UNSHARE the table is the thread's own"),
        Row("dup", x86_64=32),
        Row("dup2", x86_64=33),
        Row("dup3", x86_64=292),
        Row("fcntl", Share(1, {"fdtable": BOTH, "dnotify": EXIT},
                           {"fdtable": FCNTL_OF_OWNERS, "dnotify": (F_NOTIFY,)}),
            x86_64=72, queue=True, moved=True, unmoved=arg_in(1, F_NOTIFY),
            note="the owner of a descriptor's signals, or of a lock, is named by its id; what a "
                 "directory is watched for is noted"),
        Row("ioctl", Share(1, {"tty": BOTH, "pidfd": EXIT},
                           {"tty": TTY_IOCTLS_OF_IDS, "pidfd": PIDFD_GET_INFO}),
            x86_64=16, moved=True, eintr=True,
            note="a terminal names its foreground group and its session by id, "
                 "a pidfd its process and the parent"),
    ),
    _room(
        "file", "Open files: reading, writing, waiting",
        Row("read", EXIT, x86_64=0, senders=True, when=arg_multiple(2, 128), eintr=True, part=READ,
            note="a signalfd names the senders of signals"),
        Row("write", x86_64=1, eintr=True, part=WRITE),
        Row("pread64", x86_64=17, part=PREAD),
        Row("pwrite64", x86_64=18),
        Row("readv", EXIT, x86_64=19, senders=True, eintr=True, part=READV,
            note="a signalfd names the senders of signals"),
        Row("writev", x86_64=20, eintr=True, part=WRITEV),
        Row("preadv", x86_64=295, part=READV),
        Row("pwritev", x86_64=296),
        Row("preadv2", x86_64=327, eintr=True, part=READV),
        Row("pwritev2", x86_64=328, eintr=True, part=PWRITEV2),
        Row("lseek", x86_64=8),
        Row("sendfile", x86_64=40, eintr=True, part=SENDFILE),
        Row("splice", x86_64=275, eintr=True, part=SPLICE),
        Row("tee", x86_64=276),
        Row("vmsplice", x86_64=278, part=VMSPLICE),
        Row("copy_file_range", x86_64=326, part=COPY_FILE_RANGE),
        Row("fsync", x86_64=74),
        Row("fdatasync", x86_64=75),
        Row("sync_file_range", x86_64=277),
        Row("ftruncate", x86_64=77),
        Row("fallocate", x86_64=285, eintr=True),
        Row("fadvise64", x86_64=221),
        Row("readahead", x86_64=187),
        Row("cachestat", x86_64=451),
        Row("getdents", x86_64=78),
        Row("getdents64", x86_64=217),
        Row("poll", x86_64=7, timeout=milliseconds(2)),
        Row("ppoll", x86_64=271),
        Row("select", x86_64=23),
        Row("pselect6", x86_64=270),
    ),
    _room(
        "file_system", "Files by name: the file system keeps the state, not the process",
        Row("open", EXIT, x86_64=2, when=never_named(1), note=NEVER_NAMED),
        Row("openat", EXIT, x86_64=257, when=never_named(2), note=NEVER_NAMED),
        Row("openat2", x86_64=437),
        Row("creat", x86_64=85),
        Row("stat", x86_64=4),
        Row("lstat", x86_64=6),
        Row("fstat", x86_64=5),
        Row("newfstatat", x86_64=262),
        Row("statx", x86_64=332),
        Row("access", x86_64=21),
        Row("faccessat", x86_64=269),
        Row("faccessat2", x86_64=439),
        Row("readlink", x86_64=89),
        Row("readlinkat", x86_64=267),
        Row("getcwd", x86_64=79),
        Row("chdir", x86_64=80),
        Row("fchdir", x86_64=81),
        Row("chroot", x86_64=161, note=CAPABILITY),
        Row("umask", x86_64=95),
        Row("truncate", x86_64=76),
        Row("rename", x86_64=82),
        Row("renameat", x86_64=264),
        Row("renameat2", x86_64=316),
        Row("mkdir", x86_64=83),
        Row("mkdirat", x86_64=258),
        Row("rmdir", x86_64=84),
        Row("link", x86_64=86),
        Row("linkat", EXIT, x86_64=265, when=arg_mask(4, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH),
            note="a file of O_TMPFILE that it gives a name gets no other one when that is removed"),
        Row("unlink", x86_64=87),
        Row("unlinkat", x86_64=263),
        Row("symlink", x86_64=88),
        Row("symlinkat", x86_64=266),
        Row("mknod", x86_64=133),
        Row("mknodat", x86_64=259),
        Row("chmod", x86_64=90),
        Row("fchmod", x86_64=91),
        Row("fchmodat", x86_64=268),
        Row("fchmodat2", x86_64=452),
        Row("chown", x86_64=92),
        Row("fchown", x86_64=93),
        Row("lchown", x86_64=94),
        Row("fchownat", x86_64=260),
        Row("utime", x86_64=132),
        Row("utimes", x86_64=235),
        Row("futimesat", x86_64=261),
        Row("utimensat", x86_64=280),
        Row("file_getattr", x86_64=468),
        Row("file_setattr", x86_64=469),
        Row("setxattr", x86_64=188),
        Row("lsetxattr", x86_64=189),
        Row("fsetxattr", x86_64=190),
        Row("setxattrat", x86_64=463),
        Row("getxattr", x86_64=191),
        Row("lgetxattr", x86_64=192),
        Row("fgetxattr", x86_64=193),
        Row("getxattrat", x86_64=464),
        Row("listxattr", x86_64=194),
        Row("llistxattr", x86_64=195),
        Row("flistxattr", x86_64=196),
        Row("listxattrat", x86_64=465),
        Row("removexattr", x86_64=197),
        Row("lremovexattr", x86_64=198),
        Row("fremovexattr", x86_64=199),
        Row("removexattrat", x86_64=466),
        Row("name_to_handle_at", x86_64=303),
        Row("open_by_handle_at", x86_64=304, note=CAPABILITY),
        Row("statfs", x86_64=137),
        Row("fstatfs", x86_64=138),
        Row("ustat", x86_64=136),
        Row("sysfs", x86_64=139),
        Row("sync", x86_64=162),
        Row("syncfs", x86_64=306),
    ),
    _room(
        "file_lock", "File locks",
        Row("flock", x86_64=73, queue=True),
    ),
    _room(
        "pipe", "Pipes",
        Row("pipe", x86_64=22),
        Row("pipe2", x86_64=293),
    ),
    _room(
        "socket", "Sockets, local and internet",
        Row("socket", x86_64=41),
        Row("socketpair", x86_64=53),
        Row("bind", EXIT, x86_64=49,
            note="noted: where a unix socket's relative path begins, and ports that the kernel chose"),
        Row("listen", x86_64=50),
        Row("accept", BOTH, x86_64=43, addresses=True, kept=True, eintr=True,
            note=OTHER_ADDRESS),
        Row("accept4", BOTH, x86_64=288, addresses=True, kept=True, eintr=True,
            note=OTHER_ADDRESS),
        Row("connect", ENTER, x86_64=42, addresses=True, eintr=True, note=OTHER_ADDRESS),
        Row("shutdown", x86_64=48),
        Row("getsockname", BOTH, x86_64=51, addresses=True, note=OTHER_ADDRESS),
        Row("getpeername", BOTH, x86_64=52, addresses=True, note=OTHER_ADDRESS),
        Row("setsockopt", SETSOCKOPT, x86_64=54,
            note="noted: what getsockopt does not show, and that senders shall be shown"),
        Row("getsockopt", EXIT, x86_64=55, moved=True,
            when=(arg_in(1, SOL_SOCKET), arg_in(2, SO_PEERCRED)),
            note="the peer is named by its id"),
        Row("sendto", x86_64=44, eintr=True, part=SENDTO),
        Row("recvfrom", x86_64=45, eintr=True, part=RECVFROM),
        Row("sendmsg", ENTER, x86_64=46, moved=True, eintr=True, part=SENDMSG,
            note="a sender may name itself by its id, also where nobody asks for senders"),
        Row("recvmsg", EXIT, x86_64=47, senders=True, eintr=True, part=RECVMSG, note=SENDERS),
        Row("sendmmsg", BOTH, x86_64=307, moved=True, eintr=True, part=SENDMMSG, note=SCM),
        Row("recvmmsg", EXIT, x86_64=299, senders=True, eintr=True, part=RECVMMSG,
            note=SENDERS),
    ),
    _room(
        "epoll", "Epoll",
        Row("epoll_create", x86_64=213),
        Row("epoll_create1", x86_64=291),
        Row("epoll_ctl", x86_64=233),
        Row("epoll_wait", x86_64=232, timeout=milliseconds(3), eintr=True),
        Row("epoll_pwait", x86_64=281, timeout=milliseconds(3), eintr=True),
        Row("epoll_pwait2", x86_64=441, timeout=timespec(3), eintr=True),
        Row("epoll_ctl_old", Refuse("ENOSYS"), x86_64=214, note=GONE),
        Row("epoll_wait_old", Refuse("ENOSYS"), x86_64=215, note=GONE),
    ),
    _room(
        "eventfd", "Eventfd",
        Row("eventfd", x86_64=284),
        Row("eventfd2", x86_64=290),
    ),
    _room(
        "pidfd", "Processes as files",
        Row("pidfd_open", Translate(args={0: PID}), x86_64=434, note=NOT_OF_THE_POD),
        Row("pidfd_getfd", x86_64=438, note=BY_PIDFD),
        Row("pidfd_send_signal", x86_64=424, note=BY_PIDFD),
        Row("process_madvise", x86_64=440, note=BY_PIDFD),
        Row("process_mrelease", x86_64=448, note=BY_PIDFD),
    ),
    _room(
        "timerfd", "Timerfd",
        Row("timerfd_create", x86_64=283),
        Row("timerfd_settime", ENTER, x86_64=286, moved=True, when=arg_mask(1, TIMER_ABSTIME),
            note=EXPIRY),
        Row("timerfd_gettime", x86_64=287),
    ),
    _room(
        "signalfd", "Signalfd",
        Row("signalfd", ENTER, x86_64=282, moved=True, note=SIGNALFD),
        Row("signalfd4", ENTER, x86_64=289, moved=True, note=SIGNALFD),
    ),
    _room(
        "memfd", "Memfd",
        Row("memfd_create", x86_64=319),
    ),
    _room(
        "inotify", "Watching files",
        Row("inotify_init", x86_64=253),
        Row("inotify_init1", x86_64=294),
        Row("inotify_add_watch", EXIT, x86_64=254, note="its path is noted, for nothing shows it later"),
        Row("inotify_rm_watch", x86_64=255),
        Row("fanotify_init", x86_64=300, note=FANOTIFY),
        Row("fanotify_mark", x86_64=301, note=FANOTIFY),
    ),
    _room(
        "tty", "Terminals",
        Row("vhangup", x86_64=153, note=CAPABILITY),
    ),
    _room(
        "sysv_ipc", "System V ipc",
        Row("shmget", Answer(), x86_64=29, note=SYSV_KEY),
        Row("shmat", BOTH, x86_64=30, moved=True, note=SYSV_ID),
        Row("shmdt", x86_64=67),
        Row("shmctl", BOTH, x86_64=31, note=SYSV_STAT),
        Row("semget", Answer(), x86_64=64, note=SYSV_KEY),
        Row("semop", BOTH, x86_64=65, queue=True, eintr=True, note=SYSV_UNDO),
        Row("semtimedop", BOTH, x86_64=220, queue=True, timeout=timespec(3), eintr=True, note=SYSV_UNDO),
        Row("semctl", BOTH, x86_64=66, note=SYSV_STAT),
        Row("msgget", Answer(), x86_64=68, note=SYSV_KEY),
        Row("msgsnd", BOTH, x86_64=69, queue=True, moved=True, note=SYSV_ID),
        Row("msgrcv", BOTH, x86_64=70, queue=True, moved=True, note=SYSV_ID),
        Row("msgctl", BOTH, x86_64=71, note=SYSV_STAT),
    ),
    _room(
        "mqueue", "POSIX message queues",
        Row("mq_open", x86_64=240, note=OPEN_REFUSED),
        Row("mq_unlink", x86_64=241),
        Row("mq_timedsend", x86_64=242, queue=True),
        Row("mq_timedreceive", x86_64=243, queue=True),
        Row("mq_notify", EXIT, x86_64=244, note="how a process is told is noted"),
        Row("mq_getsetattr", x86_64=245),
    ),
    _room(
        "aio", "Asynchronous input and output",
        Row("io_setup", EXIT, x86_64=206, note="for how many requests is noted"),
        Row("io_destroy", EXIT, x86_64=207, note="its note goes with it"),
        Row("io_submit", EXIT, x86_64=209,
            note="requests are counted, so that a checkpoint knows when all of them are done"),
        Row("io_cancel", x86_64=210),
        Row("io_getevents", x86_64=208, timeout=timespec(4), eintr=True, part=GETEVENTS),
        Row("io_pgetevents", x86_64=333, timeout=timespec(4), part=GETEVENTS),
        Row("io_uring_setup", Refuse("ENOSYS"), x86_64=425, note=RING),
        Row("io_uring_enter", Refuse("ENOSYS"), x86_64=426, note=RING),
        Row("io_uring_register", Refuse("ENOSYS"), x86_64=427, note=RING),
    ),
    _room(
        "namespace", "Namespaces and mounts",
        Row("setns", Refuse("EPERM"), x86_64=308, note=ONE_SET),
        Row("mount", x86_64=165, note=CAPABILITY),
        Row("umount2", x86_64=166, note=CAPABILITY),
        Row("pivot_root", x86_64=155, note=CAPABILITY),
        Row("open_tree", x86_64=428, note=CAPABILITY),
        Row("open_tree_attr", x86_64=467, note=CAPABILITY),
        Row("move_mount", x86_64=429, note=CAPABILITY),
        Row("mount_setattr", x86_64=442, note=CAPABILITY),
        Row("fsopen", x86_64=430, note=CAPABILITY),
        Row("fsconfig", x86_64=431, note=CAPABILITY),
        Row("fsmount", x86_64=432, note=CAPABILITY),
        Row("fspick", x86_64=433, note=CAPABILITY),
        Row("statmount", x86_64=457),
        Row("listmount", x86_64=458),
        Row("quotactl", x86_64=179, note=CAPABILITY),
        Row("quotactl_fd", x86_64=443, note=CAPABILITY),
    ),
    _room(
        "cpu_level", "What a pod sees of the processor: CPUID",
        Row("arch_prctl", ENTER, x86_64=158, when=arg_in(0, ARCH_GET_CPUID, ARCH_SET_CPUID),
            note="with --cpu-level, CPUID faulting is ours: the processor seems to have none. Who asks "
            "CPUID while it blocks or ignores SIGSEGV does not afterwards, nor handles it"),
    ),
    _room(
        "landlock", "Sandboxes: landlock",
        Row("landlock_create_ruleset", x86_64=444),
        Row("landlock_add_rule", x86_64=445),
        Row("landlock_restrict_self", EXIT, x86_64=446,
            note="noted: the rules cannot be read back, so a checkpoint is refused"),
    ),
    _room(
        "seccomp", "Sandboxes: seccomp",
        Row("seccomp", BOTH, x86_64=317, when=arg_in(0, SECCOMP_SET_MODE_STRICT, SECCOMP_SET_MODE_FILTER),
            note="noted, and put on again after a restore; a listener (SECCOMP_FILTER_FLAG_NEW_LISTENER) "
                 "is not known"),
    ),
    _room(
        "security", "Sandboxes: security modules",
        Row("lsm_get_self_attr", x86_64=459),
        Row("lsm_set_self_attr", x86_64=460),
        Row("lsm_list_modules", x86_64=461),
    ),
    _room(
        "keys", "Keys of the kernel's",
        Row("add_key", EXIT, x86_64=248, note=KEYS),
        Row("request_key", EXIT, x86_64=249, note=KEYS),
        Row("keyctl", EXIT, x86_64=250, when=arg_in(0, *KEYCTL_THAT_HOLDS), note=KEYS),
    ),
    _room(
        "trace", "Looking into other processes and the kernel",
        Row("ptrace", Refuse("EPERM"), x86_64=101,
            note="a process has one tracer, and that is zaptrace"),
        Row("perf_event_open", x86_64=298, note=OPEN_REFUSED),
        Row("bpf", x86_64=321, note=OPEN_REFUSED),
        Row("uretprobe", Refuse("ENOSYS"), x86_64=335, note=TRAMPOLINE),
        Row("uprobe", Refuse("ENOSYS"), x86_64=336, note=TRAMPOLINE),
    ),
    _room(
        "host", "The host itself",
        Row("uname", x86_64=63),
        Row("getrandom", x86_64=318, part=GETRANDOM),
        Row("syslog", x86_64=103),
        Row("sethostname", x86_64=170, note=CAPABILITY),
        Row("setdomainname", x86_64=171, note=CAPABILITY),
        Row("reboot", x86_64=169, note=CAPABILITY),
        Row("kexec_load", x86_64=246, note=CAPABILITY),
        Row("kexec_file_load", x86_64=320, note=CAPABILITY),
        Row("init_module", x86_64=175, note=CAPABILITY),
        Row("finit_module", x86_64=313, note=CAPABILITY),
        Row("delete_module", x86_64=176, note=CAPABILITY),
        Row("swapon", x86_64=167, note=CAPABILITY),
        Row("swapoff", x86_64=168, note=CAPABILITY),
        Row("acct", x86_64=163, note=CAPABILITY),
        Row("iopl", x86_64=172, note=CAPABILITY),
        Row("ioperm", x86_64=173, note=CAPABILITY),
    ),
    _room(
        "retired", "Numbers that Linux no longer serves",
        Row("_sysctl", Refuse("ENOSYS"), x86_64=156, note=GONE),
        Row("create_module", Refuse("ENOSYS"), x86_64=174, note=GONE),
        Row("get_kernel_syms", Refuse("ENOSYS"), x86_64=177, note=GONE),
        Row("query_module", Refuse("ENOSYS"), x86_64=178, note=GONE),
        Row("nfsservctl", Refuse("ENOSYS"), x86_64=180, note=GONE),
        Row("getpmsg", Refuse("ENOSYS"), x86_64=181, note=GONE),
        Row("putpmsg", Refuse("ENOSYS"), x86_64=182, note=GONE),
        Row("afs_syscall", Refuse("ENOSYS"), x86_64=183, note=GONE),
        Row("tuxcall", Refuse("ENOSYS"), x86_64=184, note=GONE),
        Row("security", Refuse("ENOSYS"), x86_64=185, note=GONE),
        Row("lookup_dcookie", Refuse("ENOSYS"), x86_64=212, note=GONE),
        Row("vserver", Refuse("ENOSYS"), x86_64=236, note=GONE),
    ),
)
# fmt: on

ROWS: tuple[Row, ...] = tuple(row for room in TABLE for row in room.rows)


# -- pods that never moved, and whose threads are attached only while something needs it -------------
# What comes, comes by a listener (csrc/pod/looker.h). What is looked at alone needs nobody attached;
# what else comes, does so for the reason given here, for that call (csrc/loop/attach.h).

COMES_DETACHED: dict[str, tuple[Condition, ...] | None] = {
    "execve": (),
    "execveat": (),
    "wait4": None,  # ends are told to parents before anybody else hears of them
    "waitid": None,
    # Nobody is their tracer; whom they trace when the pod is frozen is named. One that asks to be traced
    # between vfork and execve, as gdb's do, has us.
    "ptrace": (arg_in(0, PTRACE_TRACEME),),
}
"""Where that differs from when they stop in an attached pod; None: never."""

NOTED = "what nothing shows later is noted, if the call succeeds"
WHY_ATTACHED = {
    "execve": "the stub is laid into the new program before it begins",
    "execveat": "the stub is laid into the new program before it begins",
    "vfork": "its maker, which waits for the child, could not be frozen in the kernel; so it waits with us",
    "clone": "the same with CLONE_VFORK; and CLONE_UNTRACED is taken out of its flags",
    "clone3": "the same",
    "unshare": "refused in part; for the rest it could be let go, as who shares what is asked at a freeze",
    "close_range": "it could be let go, as who shares what is asked at a freeze",
    "prctl": "a filter of the program's own is put on as we rewrite it, " + NOTED,
    "seccomp": "a filter of the program's own is put on as we rewrite it, " + NOTED,
    "landlock_restrict_self": NOTED,
    "timer_create": NOTED,
    "mbind": NOTED,
    "open": NOTED,
    "openat": NOTED,
    "linkat": NOTED,
    "fcntl": NOTED,
    "bind": NOTED,
    "setsockopt": NOTED,
    "inotify_add_watch": NOTED,
    "shmctl": "its result has the pod's numbers and keys",
    "semop": "with SEM_UNDO " + NOTED,
    "semtimedop": "with SEM_UNDO " + NOTED,
    "semctl": "but for what it asks of one set, its result has the pod's numbers and keys",
    "msgctl": "its result has the pod's numbers and keys",
    "mq_notify": NOTED,
    "io_setup": NOTED,
    "io_destroy": NOTED,
    "io_submit": NOTED,
    "add_key": NOTED,
    "request_key": NOTED,
    "keyctl": NOTED,
}


WAIT_DETACHED = ("io_submit", "request_key", "add_key")
"""Besides those whose row says that they wait: they may, and are not interrupted to see their end."""


def comes_if_detached(row: Row) -> tuple[Condition, ...] | None:
    if row.name in COMES_DETACHED:
        return COMES_DETACHED[row.name]
    return row.stops_if(moved=False)


def names() -> dict[int, str]:
    """The name of every number."""
    return {row.x86_64: row.name for row in ROWS}

"""What this host lets zaptrace do, each thing tried: for `zaptrace check`, tests and remedies.

An answer is yes or no, why (what was tried, and what came of it), what a no costs the user, and what
to do about it. A host may end a process that tries what it denies, so whatever could harm is tried in
a child that lives no longer than the attempt.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import MORE_PROCESSES
from . import cpu, sock_diag
from .native import NativeError, ffi, lib, new_error, read_memory

OLDEST_KERNEL = (5, 10)
_PATIENCE_S = 5.0
_SYSCTL = "/proc/sys/kernel/yama/ptrace_scope"


@dataclass(frozen=True)
class Ability:
    """One thing that a host can do or not. Without one that is `needed`, no pod runs."""

    name: str
    ok: bool
    because: str
    costs: str = ""
    do: str = ""
    needed: bool = field(default=False, kw_only=True)


class Refused(Exception):
    """What was tried does not work here, and why."""


def probe() -> list[Ability]:
    """Everything about the kernel and what it was told to allow; well under a second."""
    everything = "no pod runs here"
    slow = "a checkpoint takes a little longer"
    allow = "allow it: a container's seccomp profile, or the kernel's configuration"
    return [
        _ask("x86-64", _architecture, everything, "use an x86-64 host", needed=True),
        _ask("kernel", _kernel, "untested: anything may fail", "use Linux 5.10 or newer"),
        _ask(
            "trace by Yama", _yama, everything, f"as root: echo 1 >{_SYSCTL}", needed=True
        ),
        _ask(
            "seccomp filters", _seccomp, everything,
            "allow seccomp(2): a kernel with CONFIG_SECCOMP_FILTER", needed=True, risky=True,
        ),
        _ask(
            "run a pod", _pod, everything,
            "allow ptrace: Yama's scope, the container's seccomp profile", needed=True, risky=True,
        ),
        _ask(
            "read its memory", _memory, "nothing can be checkpointed",
            "allow process_vm_readv(2)", needed=True, risky=True,
        ),
        _ask(
            "look into /proc", _proc, "nothing can be checkpointed",
            "mount /proc; a kernel with CONFIG_PROC_PAGE_MONITOR and CONFIG_PROC_CHILDREN",
        ),
        _ask(
            "time of calls", _sched, "a timed call may sleep a little longer after a restore",
            "a kernel with CONFIG_SCHED_DEBUG",
        ),
        _ask(
            "look at calls", _looking, "calls that zaptrace answers take twice as long, or longer",
            "Linux 5.19 or newer, and nobody outside who listens to seccomp", risky=True,
        ),
        _ask("compare files", _kcmp, f"{slow}: open files are told apart by numbers", allow, risky=True),
        _ask("fetch files", _getfd, f"{slow}: processes send what they have open", allow, risky=True),
        _ask(
            "scan pages", _pagemap_scan, f"{slow}: large, nearly empty memory is read through",
            "Linux 6.7 or newer",
        ),
        _ask(
            "timers by number", _timer_ids, "restoring a POSIX timer with a high number takes longer",
            "Linux 6.16 or newer", risky=True,
        ),
        _ask(
            "terminals", _terminals, "no pod with a terminal: run with stdin and stdout redirected, or -d",
            "mount devpts at /dev/pts, with /dev/ptmx",
        ),
        _ask(
            "know sockets", _sockets, "no pod with unix or UDP sockets can be checkpointed",
            "as root: modprobe -a unix_diag udp_diag, or a kernel that has both built in",
        ),
        _ask("IPv6", _ipv6, "pods with IPv6 sockets cannot be restored here", "enable IPv6, ::1 at least"),
        _ask("processor", _processor, "", ""),
    ]  # fmt: skip


def _ask(
    name: str,
    attempt: Callable[[], str],
    costs: str,
    do: str,
    *,
    needed: bool = False,
    risky: bool = False,
) -> Ability:
    """`attempt` gives what it saw, or raises Refused, OSError or an error of ours."""
    try:
        seen = _in_a_child(attempt) if risky else attempt()
    except (Refused, OSError, NativeError) as error:
        reason = _reason(error)
        if os.strerror(errno.EAGAIN) in reason:  # what tries takes a process, and so does a pod
            do = MORE_PROCESSES
        return Ability(name, False, reason, costs, do, needed=needed)
    return Ability(name, True, seen, needed=needed)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        name = errno.errorcode.get(error.errno, str(error.errno))
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{os.strerror(error.errno)} ({name})"
    return str(error)


def _in_a_child(attempt: Callable[[], str]) -> str:
    """The attempt's answer; what it does to its process, or the host to it, is gone with that."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "no", "it failed"
        try:
            answer = "yes", attempt()
        except (Refused, OSError, NativeError) as error:
            answer = "no", _reason(error)
        except BaseException as error:
            answer = "no", traceback.format_exception_only(error)[-1].strip()
        finally:
            os.write(theirs, "\n".join(answer).encode())
            os._exit(0)
    os.close(theirs)
    try:
        if not select.select([ours], [], [], _PATIENCE_S)[0]:
            raise Refused(f"no answer in {_PATIENCE_S:.0f} s")
        said, _, seen = os.read(ours, 4096).decode().partition("\n")
    finally:
        os.close(ours)
        os.kill(child, signal.SIGKILL)  # it may hang; if it has ended, nothing happens
        status = os.waitpid(child, 0)[1]
    if not said:
        raise Refused(f"who tried was killed by signal {os.WTERMSIG(status)}")
    if said == "no":
        raise Refused(seen)
    return seen


def _system(number: int, *arguments: int) -> int:
    """A system call that Python has no name for."""
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def _architecture() -> str:
    if platform.machine() != "x86_64":
        raise Refused(platform.machine())
    return "x86_64"


def _kernel() -> str:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < OLDEST_KERNEL:
        raise Refused(f"Linux {release}")
    return f"Linux {release}"


def _yama() -> str:
    try:
        with open(_SYSCTL) as file:
            scope = file.read().strip()
    except FileNotFoundError:
        return "Yama is not there"
    if scope in ("0", "1"):
        return f"ptrace_scope is {scope}: we may trace what we start"
    raise Refused(f"ptrace_scope is {scope}: only who has CAP_SYS_PTRACE may trace")


_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_PRCTL = 157
_SECCOMP, _FILTER_MODE = 317, 1
_LISTENS = 1 << 3 | 1 << 5  # SECCOMP_FILTER_FLAG_NEW_LISTENER, _WAIT_KILLABLE_RECV
_NOTIF_SET_FLAGS, _SYNC_WAKE_UP = 0x40082104, 1


def _allow_all() -> ctypes.Array[ctypes.c_char]:
    """A struct sock_fprog, with its program behind it."""
    there = ctypes.create_string_buffer(24)
    struct.pack_into("HxxxxxxP", there, 0, 1, ctypes.addressof(there) + 16)
    struct.pack_into("HBBI", there, 16, 0x06, 0, 0, 0x7FFF0000)
    return there


def _seccomp() -> str:
    program = _allow_all()
    _system(_PRCTL, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _system(_PRCTL, _PR_SET_SECCOMP, _FILTER, ctypes.addressof(program), 0, 0)
    return "a filter can be set"


def _looking() -> str:
    """csrc/pod/looker.h: a listener, whose answers nothing but a kill forestalls."""
    if not lib.zt_can_look():
        raise Refused("no SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
    _system(_PRCTL, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = _allow_all()
    listener = _system(_SECCOMP, _FILTER_MODE, _LISTENS, ctypes.addressof(program))
    try:
        fcntl.ioctl(listener, _NOTIF_SET_FLAGS, _SYNC_WAKE_UP)
    except OSError:  # Linux 6.6
        return "calls are looked at without a stop, mostly on another processor"
    return "calls are looked at without a stop"


def _pod() -> str:
    """Launch a program in a pod, and end it before it begins."""
    err = new_error()
    pod = lib.zt_pod_create(0, 0, err)
    if not pod:
        raise Refused(ffi.string(err.text).decode())
    try:
        spec = ffi.new("zt_launch_spec *")
        path = ffi.new("char[]", b"/proc/self/exe")
        argv = ffi.new("char *[]", [path, ffi.NULL])
        environment = ffi.new("char *[]", [ffi.NULL])
        spec.path, spec.argv, spec.envp = path, argv, environment
        null = os.open(os.devnull, os.O_RDWR)
        spec.fds, spec.hold = [null, null, null], 1
        failed = lib.zt_loop_launch(pod, spec, ffi.new("int32_t *"), err)
        os.close(null)
        if failed:
            raise Refused(ffi.string(err.text).decode())
    finally:
        lib.zt_loop_kill(pod, new_error())
        lib.zt_pod_destroy(pod)
    return "ptrace, seccomp and the stub work"


def _memory() -> str:
    here = ctypes.create_string_buffer(b"zap")
    if read_memory(os.getpid(), ctypes.addressof(here), 3) != b"zap":
        raise Refused("process_vm_readv(2) reads something else")
    return "process_vm_readv(2) works"


def _proc() -> str:
    for name in ("maps", "smaps", "pagemap", "mem", "stat", "status", "task", "fdinfo"):
        path = f"/proc/self/{name}"
        if os.path.isdir(path):
            os.listdir(path)
        else:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    with open("/proc/thread-self/children") as file:
        file.read()
    return "memory, descriptors and children are shown"


def _sched() -> str:
    with open("/proc/self/sched") as file:
        if "se.exec_start" not in file.read():
            raise Refused("/proc/PID/sched has no se.exec_start")
    return "/proc/PID/sched tells when a thread slept"


def _kcmp() -> str:
    pid = os.getpid()
    result = lib.zt_kcmp(pid, pid, 0, 0, 0)
    if result < 0:
        raise OSError(-result, "")
    return "kcmp(2) works"


def _getfd() -> str:
    null = os.open(os.devnull, os.O_RDONLY)
    result = lib.zt_pidfd_getfd(os.getpid(), null)
    if result < 0:
        raise OSError(-result, "")
    return "pidfd_getfd(2) works"


_PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg)


def _pagemap_scan() -> str:
    vector = ctypes.create_string_buffer(24)
    page = ctypes.addressof(vector) & -4096
    argument = bytearray(
        struct.pack("=12Q", 96, 0, page, page + 4096, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0, 1)
    )
    fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _PAGEMAP_SCAN, argument)
    finally:
        os.close(fd)
    return "PAGEMAP_SCAN works"


_PR_TIMER_CREATE_RESTORE_IDS = 77


def _timer_ids() -> str:
    _system(_PRCTL, _PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0)
    return "PR_TIMER_CREATE_RESTORE_IDS works"


def _terminals() -> str:
    for fd in os.openpty():
        os.close(fd)
    return "/dev/ptmx gives one"


def _sockets() -> str:
    kinds = {"unix": (socket.AF_UNIX, 0), "UDP": (socket.AF_INET, socket.IPPROTO_UDP)}
    if untold := [name for name, kind in kinds.items() if not sock_diag.tells_of(*kind)]:
        raise Refused(f"sock_diag(7) knows none of {' and '.join(untold)}")
    return "sock_diag(7) tells of unix and UDP sockets"


def _ipv6() -> str:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as tried:
        tried.bind(("::1", 0))
    return "::1 can be bound"


def _processor() -> str:
    levels = [f"-v{level}" for level, needed in cpu.LEVELS.items() if needed <= cpu.features()]
    return f"x86-64{(levels or [''])[-1]}: images of this host want as much"

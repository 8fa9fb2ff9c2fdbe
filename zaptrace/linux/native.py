"""The compiled tracer, and its errors as exceptions."""

from __future__ import annotations

import errno
import os

from .._native import ffi, lib
from ..errors import MORE_PROCESSES, HostError, TraceeGone, UnsupportedResource, ZaptraceError

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._native import Array, Bytes, Strings
    from .._native import zt_err as Err
    from .._native import zt_pod as Handle
    from .._native import zt_program_row as ProgramRow
    from .._native import zt_regs as Registers
    from .._native import zt_rseq as Rseq
else:  # cffi has one class for whatever is C's
    Array = Bytes = Strings = Err = Handle = ProgramRow = Registers = Rseq = ffi.CData

__all__ = [
    "Array",
    "Bytes",
    "Err",
    "Handle",
    "NativeError",
    "ProgramRow",
    "Registers",
    "Rseq",
    "Strings",
    "check",
    "ffi",
    "kcmp_files",
    "lib",
    "new_error",
    "read_memory",
]


class NativeError(ZaptraceError):
    """A call of the tracer failed; `kind` is one of lib.ZT_ERR_*, `errno` the system's or 0."""

    def __init__(self, what: str, kind: int = 0, errno: int = 0) -> None:
        super().__init__(what)
        self.kind = kind
        self.errno = errno


def new_error() -> Err:
    """A zt_err to hand to the tracer."""
    return ffi.new("zt_err *")


def check(result: int, err: Err) -> int:
    """`result`, unless it is negative: then what `err` says is raised.

    TraceeGone when the tracee died, HostError for a refused permission, UnsupportedResource when
    a process has done away with our stub, else NativeError.
    """
    if result >= 0:
        return result
    text = ffi.string(err.text).decode(errors="replace")
    if err.kind == lib.ZT_ERR_GONE:
        raise TraceeGone(f"a process of the pod died: {text}")
    refused = text.startswith("seccomp: ") or err.os_errno == errno.EPERM
    if refused and err.kind == lib.ZT_ERR_OS and (tracer := _tracer()):
        raise HostError(
            "cannot start a pod in a pod, nor where a debugger traces us",
            needed="a process that nobody traces: each has one tracer",
            found=f"process {tracer} traces us; ptrace answers: {text.rpartition(': ')[2]}",
            remedy="start both pods side by side, from outside",
        )
    if refused and err.kind == lib.ZT_ERR_OS:
        raise HostError(
            f"this host does not allow tracing: {text}",
            remedy="check /proc/sys/kernel/yama/ptrace_scope (0 or 1) and the container's seccomp profile",
        )
    if err.kind == lib.ZT_ERR_FOREIGN:
        process, _, found = text.partition(": ")
        raise UnsupportedResource(
            f"cannot checkpoint {process}: zaptrace's place in its memory is not as it was laid",
            needed=f"{lib.zt_stub_start():#x} to {lib.zt_stub_end():#x} left alone by the program",
            found=found,
            do="have it spare that range when it unmaps, protects or maps memory of its own choice",
        )
    if err.kind == lib.ZT_ERR_OS and err.os_errno == errno.EAGAIN and text.startswith("fork"):
        raise HostError(
            f"zaptrace cannot have a process more: {text}",
            needed="some processes and threads more than the pod has",
            found="the limit of this user, or of the container",
            remedy=MORE_PROCESSES,
        )
    failure = NativeError(text, err.kind, err.os_errno)
    if err.kind == lib.ZT_ERR_HARMED:
        failure.changed = "perhaps how that process handles a fault; the pod goes on"
    raise failure


def _tracer() -> int:
    """Who traces us; 0 for nobody."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next((int(line.split()[1]) for line in status if line.startswith("TracerPid")), 0)


def read_memory(rpid: int, address: int, size: int) -> bytes:
    """`size` bytes of a process's memory. Raises TraceeGone or NativeError(EFAULT)."""
    buffer = bytearray(size)
    read_memory_into(rpid, address, buffer)
    return bytes(buffer)


def read_memory_into(rpid: int, address: int, buffer: Buffer) -> None:
    """Fill `buffer` (writable, bytes-like) from a process's memory; errors as read_memory."""
    view = ffi.from_buffer(buffer, require_writable=True)
    size = len(view)
    got = lib.zt_mem_read(rpid, address, view, size)
    _moved_all(got, size, f"cannot read {size} bytes at {address:#x} of process {rpid}")


def _moved_all(got: int, size: int, what: str) -> None:
    if got == size:
        return
    code = ffi.errno if got < 0 else errno.EFAULT
    if code == errno.ESRCH:
        raise TraceeGone(f"a process of the pod died: {what}")
    raise NativeError(f"{what}: {os.strerror(code)}", lib.ZT_ERR_OS, code)


_KCMP_FILE = 0


def kcmp_files(rpid1: int, fd1: int, rpid2: int, fd2: int) -> int:
    """0 if the two are one open file description, else 1 or 2: an order (kcmp(2))."""
    result = lib.zt_kcmp(rpid1, rpid2, _KCMP_FILE, fd1, fd2)
    if result < 0:
        raise NativeError(f"kcmp: {os.strerror(-result)}", lib.ZT_ERR_OS, -result)
    return result


def get_fd(rpid: int, fd: int) -> int:
    """A duplicate, in our process, of a descriptor of another (pidfd_getfd(2))."""
    result = lib.zt_pidfd_getfd(rpid, fd)
    if result < 0:
        raise NativeError(f"pidfd_getfd: {os.strerror(-result)}", lib.ZT_ERR_OS, -result)
    return result

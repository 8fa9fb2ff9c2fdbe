"""What this host is and can do: probed by trying, used by `zaptrace check`, tests and remedies."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import BadImage, HostError
from . import cpu
from .native import ffi, lib, new_error


@dataclass(frozen=True)
class Ability:
    """One thing that a host can do or not; `remedy` says what would give it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def boot_id() -> str:
    """Tells this kernel, since it was booted, from every other."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def is_this_one(made_on: dict[str, Any]) -> bool:
    """Are these the facts of this very host, not booted since?"""
    return made_on.get("boot_id") == boot_id()


def facts(level: int = 0) -> dict[str, Any]:
    """What an image says of the host that it was made on; of a processor at a level, if one is given.

    The level is that of the pod, which has seen no more (`run --cpu-level`).
    """
    return {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "node": platform.node(),
        "boot_id": boot_id(),
        "cpu_features": sorted(cpu.LEVELS[level] if level else cpu.features()),
        "xsave": cpu.layout().plain(),
        "cpu_level": level,
        "signal_stack": cpu.smallest_signal_stack(),
        "page_size": resource.getpagesize(),
    }


def check_facts(made_on: dict[str, Any]) -> None:
    """Raise HostError when a pod from such a host cannot run on this one."""
    try:
        machine, page_size = made_on["machine"], made_on["page_size"]
        features = set(made_on["cpu_features"])
    except (KeyError, TypeError):
        raise BadImage("bad image: it does not say what host it was made on") from None
    if machine != platform.machine() or page_size != resource.getpagesize():
        raise HostError(
            "this host is of another kind",
            needed=f"{machine}, pages of {page_size} bytes",
            found=f"{platform.machine()}, pages of {resource.getpagesize()} bytes",
            remedy="restore on a host of the same architecture",
        )
    if missing := features - cpu.features():
        raise HostError(
            "this host's processor lacks features that programs of the pod may be using",
            needed=" ".join(sorted(missing)),
            found="a processor, or a kernel, without them",
            remedy="restore on a host that has them: the same kind of processor, or a newer one",
        )
    if not made_on.get("cpu_level"):  # which tells programs to leave room for everything
        _check_saved_size(features)


_SAVED_BY_LIBRARIES = {"xcr0.opmask", "xcr0.zmm_hi256", "xcr0.hi16_zmm"}


def _check_saved_size(features: set[str]) -> None:
    """glibc saves registers (with XSAVE where there is no XSAVEC) into room that it measured once:
    here that could be more, also of registers that no program uses (_dl_runtime_resolve_xsave)."""
    more = (cpu.features() & _SAVED_BY_LIBRARIES) - features
    if more and "xsavec" not in features and "xcr0.avx" in features:
        raise HostError(
            "this host's processor has registers for which programs of the pod left no room",
            needed="a processor without " + " ".join(sorted(more)),
            found="one that has them, and a pod begun on one without XSAVEC",
            remedy="restore on a host with the same kind of processor",
        )


def probe() -> list[Ability]:
    """What zaptrace needs, each tried."""
    return [
        _probe_architecture(),
        _probe_tracing(),
        _probe_file("kcmp", _try_kcmp, "a kernel with CONFIG_KCMP (or CONFIG_CHECKPOINT_RESTORE)"),
        _probe_file("pidfd_getfd", _try_getfd, "a kernel of 5.6 or newer"),
        _probe_file("/proc/PID/pagemap", _try_pagemap, "a kernel with CONFIG_PROC_PAGE_MONITOR"),
        _probe_file("children in /proc", _try_children, "a kernel with CONFIG_PROC_CHILDREN"),
        _probe_file("/proc/PID/sched", _try_sched, "a kernel with CONFIG_SCHED_DEBUG"),
    ]


def _probe_architecture() -> Ability:
    machine = platform.machine()
    return Ability("architecture", machine == "x86_64", machine, "use an x86-64 host")


def _probe_tracing() -> Ability:
    """Launch a program in a pod, freeze it, and end it."""
    from .native import NativeError

    err = new_error()
    pod = lib.zt_pod_create(0, 0, err)
    if not pod:
        return Ability("tracing", False, ffi.string(err.text).decode())
    try:
        spec = ffi.new("zt_launch_spec *")
        path = ffi.new("char[]", b"/bin/sh")
        argv = ffi.new("char *[]", [path, ffi.NULL])
        environment = ffi.new("char *[]", [ffi.NULL])
        spec.path, spec.argv, spec.envp = path, argv, environment
        null = os.open(os.devnull, os.O_RDWR)
        spec.fds, spec.hold = [null, null, null], 1
        failed = lib.zt_loop_launch(pod, spec, ffi.new("int32_t *"), err)
        os.close(null)
        detail = ffi.string(err.text).decode() if failed else "ptrace, seccomp and the stub work"
        remedy = "allow ptrace and seccomp (yama/ptrace_scope 0 or 1; the container's profile)"
        return Ability("tracing", not failed, detail, remedy)
    except NativeError as error:
        return Ability("tracing", False, error.what)
    finally:
        lib.zt_loop_kill(pod, new_error())
        lib.zt_pod_destroy(pod)


def _probe_file(name: str, attempt: Callable[[], None], remedy: str) -> Ability:
    try:
        attempt()
    except (OSError, ValueError) as error:
        return Ability(name, False, str(error), remedy)
    return Ability(name, True, "works", remedy)


def _try_kcmp() -> None:
    pid = os.getpid()
    result = lib.zt_kcmp(pid, pid, 0, 0, 0)
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _try_getfd() -> None:
    result = lib.zt_pidfd_getfd(os.getpid(), 0)
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    os.close(result)


def _try_pagemap() -> None:
    with open("/proc/self/pagemap", "rb") as file:
        file.read(8)


def _try_children() -> None:
    with open("/proc/thread-self/children") as file:
        file.read()


def _try_sched() -> None:
    with open("/proc/self/sched") as file:
        if "se.exec_start" not in file.read():
            raise ValueError(
                "no se.exec_start; timed calls may sleep a little longer after a restore"
            )

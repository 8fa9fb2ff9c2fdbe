"""What this host is and can do: probed by trying, used by `zaptrace check`, tests and remedies."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from ..errors import HostError
from ..shapes import Length, Size, Word
from .native import ffi, lib, new_error


@dataclass(frozen=True)
class Ability:
    """One thing that a host can do or not; `remedy` says what would give it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def cpu_features() -> set[str]:
    """The flags of /proc/cpuinfo."""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()


def boot_id() -> str:
    """Tells this kernel, since it was booted, from every other."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


@dataclass(frozen=True)
class Facts:
    """What an image says of the host that it was made on."""

    machine: Word
    kernel: Word
    node: Word
    boot_id: Word
    cpu_features: Annotated[list[Word], Length(0, 4096)]
    page_size: Size


def is_this_one(made_on: Facts) -> bool:
    """Are these the facts of this very host, not booted since?"""
    return made_on.boot_id == boot_id()


def facts() -> Facts:
    """Those of this host."""
    return Facts(
        machine=platform.machine(),
        kernel=platform.release(),
        node=platform.node(),
        boot_id=boot_id(),
        cpu_features=sorted(cpu_features()),
        page_size=resource.getpagesize(),
    )


_IRRELEVANT = {"constant_tsc", "nonstop_tsc", "tsc_known_freq", "hypervisor", "rep_good", "nopl"}
"""Flags of /proc/cpuinfo that no instruction of a program depends on."""


def check_facts(made_on: Facts) -> None:
    """Raise HostError when a pod from such a host cannot run on this one."""
    machine, page_size = made_on.machine, made_on.page_size
    if machine != platform.machine() or page_size != resource.getpagesize():
        raise HostError(
            "this host is of another kind",
            needed=f"{machine}, pages of {page_size} bytes",
            found=f"{platform.machine()}, pages of {resource.getpagesize()} bytes",
            remedy="restore on a host of the same architecture",
        )
    missing = set(made_on.cpu_features) - cpu_features() - _IRRELEVANT
    if missing:
        raise HostError(
            "this host's processor lacks features that programs of the pod may be using",
            needed=" ".join(sorted(missing)),
            found="a processor without them",
            remedy="restore on a host with the same kind of processor, or a newer one",
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

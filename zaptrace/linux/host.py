"""What this host is, for images: its kernel, its processor. What it can do is tried in abilities.py."""

from __future__ import annotations

import ctypes
import functools
import platform
import resource
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from ..errors import HostError
from ..shapes import U32, Length, OneOf, Size, Word
from . import cpu
from .native import Handle, lib


def boot_id() -> str:
    """Tells this kernel, since it was booted, from every other; empty where /proc/sys is hidden."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Saved:
    """Where registers lie that are saved; see xstate.Layout, which looks at it more closely."""

    size: Size
    where: Annotated[list[Annotated[list[U32], Length(3)]], Length(0, 64)]


@dataclass(frozen=True)
class Facts:
    """What an image says of the host that it was made on."""

    machine: Word
    kernel: Word
    node: Word
    boot_id: Word
    cpu_features: Annotated[list[Word], Length(0, 4096)]
    xsave: Saved
    cpu_level: Annotated[int, OneOf(0, *cpu.LEVELS)]
    signal_stack: Size
    page_size: Size
    vdso: Word = ""
    """The same where the kernel's vDSO, and what lies beside it, is the same."""

    def plain(self) -> dict[str, Any]:
        """For an image."""
        return asdict(self)


def is_this_one(made_on: Facts) -> bool:
    """Are these the facts of this very host, not booted since?"""
    ours = boot_id()
    return bool(ours) and made_on.boot_id == ours


def facts_of(pod: Handle) -> Facts:
    """Those that a pod of this host, and its image, have."""
    return facts(lib.zt_pod_cpu_level(pod), faulting=bool(lib.zt_pod_cpu_faulting(pod)))


def facts(level: int = 0, *, faulting: bool = True) -> Facts:
    """Those of this host; of a processor at a level, if one is given.

    The level is that of the pod (`run --cpu-level`), which has seen no more; without CPUID faulting
    it has, and libraries have left room for this host's registers: then it has no level for them.
    """
    return Facts(
        machine=platform.machine(),
        kernel=platform.release(),
        node=platform.node(),
        boot_id=boot_id(),
        cpu_features=sorted(cpu.LEVELS[level] if level else cpu.features()),
        xsave=Saved(**cpu.layout().plain()),
        cpu_level=level if faulting else 0,
        signal_stack=cpu.smallest_signal_stack(),
        page_size=resource.getpagesize(),
        vdso=vdso(),
    )


@functools.cache
def vdso() -> str:
    """A sum of this kernel's vDSO and of how its parts lie; "" where there is none."""
    from blake3 import blake3

    parts: dict[str, range] = {}
    with open("/proc/self/maps") as maps:
        for line in maps:
            place, *_, name = line.split()
            if name in ("[vdso]", "[vvar]", "[vvar_vclock]"):
                parts[name] = range(*(int(end, 16) for end in place.split("-")))
    if "[vdso]" not in parts:
        return ""
    code = parts["[vdso]"]
    lies = sorted((name, part.start - code.start, len(part)) for name, part in parts.items())
    return blake3(repr(lies).encode() + ctypes.string_at(code.start, len(code))).hexdigest()[:32]


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
    features = set(made_on.cpu_features)
    if missing := features - cpu.features():
        raise HostError(
            "this host's processor lacks features that programs of the pod may be using",
            needed=" ".join(sorted(missing)),
            found="a processor, or a kernel, without them",
            remedy="restore on a host that has them: the same kind of processor, or a newer one",
        )
    if not made_on.cpu_level:  # which tells programs to leave room for everything
        _check_saved_size(features)


_SAVED_BY_LIBRARIES = {
    f"xcr0.{name}" for name in ("bndregs", "opmask", "zmm_hi256", "hi16_zmm", "apx")
}


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

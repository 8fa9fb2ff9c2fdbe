"""Mappings, from smaps: bounds, protection, every flag and size, and the identity of what is mapped.

Neighbours that differ in nothing are one: only history keeps them apart.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.snapshot.look import GONE, Look
from zaptrace.linux.native import lib

KERNELS_OWN = ("[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]")
RESIDENT = (
    "Rss", "Pss", "Pss_Dirty", "Pss_Anon", "Pss_File", "Pss_Shmem", "Shared_Clean", "Shared_Dirty",
    "Private_Clean", "Private_Dirty", "Referenced", "KSM", "LazyFree", "AnonHugePages",
    "ShmemPmdMapped", "FilePmdMapped", "Swap", "SwapPss", "Anonymous", "Locked",
    "Shared_Hugetlb", "Private_Hugetlb",
)  # fmt: skip
"""Sizes that say what is resident at the moment, and how: those of `here`."""

OF_RELATIVES = ("Pss", "Pss_Anon", "Pss_File", "Pss_Shmem", "SwapPss", "Private", "Shared")
"""What depends on how many others have a page, too."""
KERNELS_FLAGS = {"dw", "sd"}
"""What nobody can ask for: dw, of a program's own file, which Linux before 5.15 has on mappings that
execve made (mmap(2), MAP_DENYWRITE); and sd, of which a new mapping has more than an old one."""

_HEAD = re.compile(
    r"([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)"
)


@dataclass
class _Mapping:
    start: int
    end: int
    permissions: str
    offset: int
    device: int
    inode: int
    name: str
    sizes: dict[str, int]
    others: dict[str, str]

    @property
    def key(self) -> str:
        return f"{self.start:x}-{self.end:x}"

    @property
    def of_a_file(self) -> bool:
        """The first System V segment of an IPC namespace, a new container's, has the number 0."""
        private_huge = self.permissions[3] == "p" and self.name.startswith("/anon_hugepage")
        return (self.inode != 0 and not private_huge) or self.name.startswith("/SYSV")

    @property
    def anonymous(self) -> bool:
        return not self.of_a_file and not self.name.startswith("[stack")

    def goes_on(self, it: _Mapping) -> bool:
        """`it` is the same mapping, as far as anybody can tell."""
        mine = (self.permissions, self.name, self.device, self.inode, self.others)
        same = mine == (it.permissions, it.name, it.device, it.inode, it.others)
        follows = self.anonymous or it.offset - self.offset == it.start - self.start
        return same and self.end == it.start and follows


def _mappings(rpid: int) -> list[_Mapping]:
    found: list[_Mapping] = []
    for line in Path(f"/proc/{rpid}/smaps").read_text("utf-8", "backslashreplace").split("\n"):
        if head := _HEAD.fullmatch(line):
            start, end, permissions, offset, major, minor, inode, name = head.groups()
            device = os.makedev(int(major, 16), int(minor, 16))
            span = (int(start, 16), int(end, 16))
            found.append(
                _Mapping(*span, permissions, int(offset, 16), device, int(inode), name, {}, {})
            )
        elif line:
            key, _, value = line.partition(":")
            if value.endswith(" kB"):
                found[-1].sizes[key] = int(value[:-3])
            else:
                found[-1].others[key] = " ".join(sorted(set(value.split()) - KERNELS_FLAGS))
    return [m for m in found if m.name not in KERNELS_OWN]


Shown = dict[str, dict[str, Any]]
"""By the bounds of the mapping."""


def read(look: Look, rpid: int) -> tuple[Shown, Shown]:
    """What has to be the same anywhere, and here. The stub, which is ours, is left out."""
    ours = range(lib.zt_stub_start(), lib.zt_stub_end())
    found = [m for m in _mappings(rpid) if m.start not in ours]
    here = {m.key: _here(m) for m in found}  # before any are joined
    return _anywhere(look, rpid, found), here


def locked_of_stub(rpid: int) -> int:
    """In kB."""
    ours = range(lib.zt_stub_start(), lib.zt_stub_end())
    locked = (m for m in _mappings(rpid) if m.start in ours and "lo" in m.others["VmFlags"].split())
    return sum(m.end - m.start for m in locked) >> 10


def _anywhere(look: Look, rpid: int, found: list[_Mapping]) -> Shown:
    policies = _policies(rpid)
    joined: list[_Mapping] = []
    for m in found:
        m.others["policy"] = policies.get(m.start, "default")
        if joined and joined[-1].goes_on(m):
            joined[-1].end = m.end
            for key, value in m.sizes.items():
                if key not in ("KernelPageSize", "MMUPageSize"):
                    joined[-1].sizes[key] += value
        else:
            joined.append(m)
    return {m.key: _shown(look, m) for m in joined}


def _shown(look: Look, m: _Mapping) -> dict[str, Any]:
    return {
        "permissions": m.permissions,
        "offset": 0 if m.anonymous else m.offset,
        "is": look.name(m.name, m.device, m.inode) if m.of_a_file else m.name,
        "links": _links(look, m),
        **m.others,
        **{k: v for k, v in m.sizes.items() if k not in RESIDENT},
        "private copies": m.sizes.get("Anonymous", 0) if m.permissions[3] == "p" else 0,
        "shares copies": m.permissions[3] == "p" and _shares_copies(m),
    }


def _shares_copies(m: _Mapping) -> bool:
    """Copy-on-write pages that a relative has too, since a fork: of how many each, is not said.

    Of a mapping without a file all that is shared is such; of one with a file the sharers of its
    page cache cannot be told from relatives.
    """
    return not m.of_a_file and m.sizes["Shared_Clean"] + m.sizes["Shared_Dirty"] > 0


def _links(look: Look, m: _Mapping) -> int | str:
    """How many names the mapped file has, by the one that the mapping gives."""
    if not m.of_a_file or not m.name.startswith("/"):
        return 0
    with contextlib.suppress(OSError):
        status = os.stat(_path(look, m))
        if status.st_ino == m.inode:
            return status.st_nlink
    return "not what is at its path"


def _path(look: Look, m: _Mapping) -> str:
    living = m.name.endswith(GONE) and look.living(m.name, m.device, m.inode)
    return living or m.name.replace("\\012", "\n")


def _policies(rpid: int) -> dict[int, str]:
    """NUMA policy of each mapping, where the kernel has such."""
    try:
        lines = Path(f"/proc/{rpid}/numa_maps").read_text("utf-8", "backslashreplace").splitlines()
    except FileNotFoundError:
        return {}
    return {int(words[0], 16): words[1] for words in map(str.split, lines)}


def _here(m: _Mapping) -> dict[str, Any]:
    """Of a mapped file all but copies of its pages depends on others, and on what was read of it.

    That it was read shows at every page: the kernel marks it as referenced. Which pages it takes for
    dirty is its own business, too (it may write them to swap): they are told together with the clean.
    """
    sizes = {**m.sizes, **m.others}
    for kind in ("Private", "Shared"):
        sizes[kind] = sizes.pop(f"{kind}_Clean", 0) + sizes.pop(f"{kind}_Dirty", 0)
    return {
        key: value
        for key, value in sizes.items()
        if key not in ("Referenced", "Pss_Dirty", "LazyFree")
        and (key not in (*RESIDENT, "Private", "Shared") or not m.of_a_file or key == "Anonymous")
    }

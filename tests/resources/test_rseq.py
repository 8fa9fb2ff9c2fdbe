"""Restartable sequences where the kernel is too old to tell of them (before 5.13)."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.flavours import FLAVOURS, run_flavour
from harness.world import PROGRAMS, compiled
from zaptrace.errors import UnsupportedResource
from zaptrace.resources.thread import rseq

BASE = 0x7F00_0000_0740


class Thread:
    """Answers rseq(2) as a kernel does that has `area` of one registered, which 0 is not."""

    vtid = 7
    process = SimpleNamespace(vpid=7)

    def __init__(self, area: int, signature: int = 0x53053053) -> None:
        self.area, self.signature = area, signature

    def registers(self) -> SimpleNamespace:
        return SimpleNamespace(fs_base=BASE)

    def run(self, program):
        return SimpleResults(self._answer(*args) for _, args, _ in program.rows)

    def _answer(self, address: int, size: int, flags: int, signature: int) -> int:
        assert (size, flags) == (32, 0)
        if not self.area:
            assert address >= 1 << 63, "this would register it"
            return -errno.EFAULT
        if address != self.area:
            return -errno.EINVAL
        return -errno.EBUSY if signature == self.signature else -errno.EPERM


class SimpleResults(list):
    def __getitem__(self, row):
        return super().__getitem__(row.index)


@pytest.mark.parametrize("area", [0, BASE + 0x9A0 // 32 * 32, BASE - 64])
def test_it_is_found_or_there_is_none(area: int):
    found = rseq.find(Thread(area & -32))
    assert found == (rseq.Area(area & -32, 32, 0x53053053) if area else rseq.Area(0, 0, 0))


@pytest.mark.parametrize("thread", [Thread(0x5000_0000), Thread(BASE & -32, signature=1)])
def test_one_that_is_not_where_we_look_is_refused(thread: Thread):
    with pytest.raises(UnsupportedResource, match="rseq"):
        rseq.find(thread)


@pytest.mark.parametrize("flavour", [f for f in ("resume", "twice") if f in FLAVOURS])
@pytest.mark.parametrize("name", ["rseq", "threads"])
def test_a_program_that_has_one(name: str, flavour: str, place: Path):
    """The C library's own area, live again after the restore, and nothing told by ptrace."""
    env = {"ZT_NO_PTRACE_RSEQ": "1"}
    run_flavour(flavour, [compiled(PROGRAMS / f"{name}.c")], place, env=env)

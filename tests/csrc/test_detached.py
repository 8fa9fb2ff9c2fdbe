"""Pods that never moved and whose threads are attached only while something needs it: which calls come,
and for which of them somebody has to be attached (csrc/syscalls.py, at its end)."""

from __future__ import annotations

import pytest

from harness.bpf import STUB_BASE, STUB_END_NR, STUB_SIZE, gen_filter, run, seccomp_data

import syscalls as table  # isort: skip  (harness.bpf says where)

ALLOW, NOTIFY, TRACE = gen_filter.RET_ALLOW, gen_filter.RET_NOTIFY, gen_filter.RET_TRACE
FILTER = gen_filter.build_filter(moved=False, detaches=True)
BY_NAME = {row.name: row for row in table.ROWS}


def verdict(name: str, *args: int, ip: int = 0x40_0000) -> int:
    data = seccomp_data(BY_NAME[name].x86_64, 0xC000003E, ip, [*args, *[0] * (6 - len(args))])
    return run(FILTER, data)[0]


def test_for_each_call_that_takes_an_attach_there_is_a_reason():
    """And for no others: who writes a row for a call that cannot only be looked at says why here."""
    needs = {
        row.name
        for row in table.ROWS
        if table.comes_if_detached(row) is not None
        and (row.name.startswith("execve") or not row.is_looked(moved=False))
    }
    needs -= {"arch_prctl"}  # its hook only answers, in pods that are attached all the time
    assert needs == set(table.WHY_ATTACHED)
    assert all(table.WHY_ATTACHED.values())
    assert set(table.COMES_DETACHED) <= set(BY_NAME)


def test_births_ends_and_tracing_are_the_kernels():
    for name in ("fork", "wait4", "waitid", "exit_group", "getpid", "read"):
        assert verdict(name, 0, 0, table.WNOHANG, table.WNOHANG) == ALLOW
    assert verdict("clone", 0x100 | 17) == ALLOW
    assert verdict("clone", table.CLONE_VFORK | 0x100 | 17) == verdict("vfork") == NOTIFY
    assert verdict("ptrace", 16) == verdict("ptrace", 0x4206) == ALLOW
    assert verdict("ptrace", table.PTRACE_TRACEME) == NOTIFY
    assert verdict("clone", 0x1000_0000) == NOTIFY
    assert verdict("clone", table.CLONE_UNTRACED) == NOTIFY
    assert verdict("clone3") == NOTIFY


def test_programs_and_what_is_looked_at_come_by_the_listener():
    for name in ("execve", "execveat", "getppid", "kill", "semget", "bind", "setns"):
        assert verdict(name) == NOTIFY
        assert verdict(name, ip=STUB_BASE + 64) == ALLOW


def test_only_what_lays_the_stub_stops():
    """Whoever makes such a call with nobody attached is told ENOSYS."""
    assert verdict("arch_prctl", table.ARCH_GET_CPUID, STUB_SIZE) == TRACE
    assert verdict("arch_prctl", table.ARCH_GET_CPUID, 0) == NOTIFY
    assert verdict("arch_prctl", table.ARCH_SET_CPUID, STUB_SIZE) == NOTIFY
    assert verdict("arch_prctl", 0x1002) == ALLOW
    data = seccomp_data(STUB_END_NR, 0xC000003E, STUB_BASE + 64, [0] * 6)
    assert run(FILTER, data)[0] == TRACE


def test_nothing_else_stops():
    for row in table.ROWS:
        for value in (0, 1, 0x4000, 1 << 40):
            data = seccomp_data(row.x86_64, 0xC000003E, 0x40_0000, [value] * 6)
            said = run(FILTER, data)[0]
            assert said != TRACE, row.name
            if said == NOTIFY:
                assert table.comes_if_detached(row) is not None, row.name


@pytest.mark.parametrize("arch", [0x4000_0003, 0])
def test_other_architectures_have_no_calls(arch: int):
    for row in table.ROWS:
        said = run(FILTER, seccomp_data(row.x86_64, arch, 0, [0] * 6))[0]
        assert said == gen_filter.UNKNOWN.ret

"""The table has a row for every call, and the filters do what the rows say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bpf import MACROS, STUB_BASE, STUB_END_NR, STUB_SIZE, STUB_TEXT_SIZE, run, seccomp_data

CSRC = Path(__file__).resolve().parent.parent.parent / "csrc"
sys.path.insert(0, str(CSRC))

import gen_filter  # noqa: E402
import gen_tables  # noqa: E402
import syscalls as table  # noqa: E402

U64 = 0xFFFF_FFFF_FFFF_FFFF
U32 = 0xFFFF_FFFF


ALLOW, NOTIFY, TRACE, ERRNO = 0x7FFF_0000, 0x7FC0_0000, 0x7FF0_7A74, 0x0005_0000
ENOSYS = ERRNO | 38

BY_NUMBER = {row.x86_64: row for row in table.ROWS}
NEWEST = max(BY_NUMBER)


# -- what the rows say, in words of their own -----------------------------------------------------


def holds(condition: table.Condition, args: list[int]) -> bool:
    match condition:
        case table.ArgIn(arg, values, negative):
            return args[arg] & U32 in values or (negative and bool(args[arg] & 1 << 31))
        case table.ArgMask(arg, bits, clear):
            return bool(args[arg] & U32 & bits) != clear
        case table.ArgPtr(arg):
            return args[arg] != 0
        case table.AnyOf(conditions):
            return any(holds(each, args) for each in conditions)
    raise AssertionError(condition)


def simple(conditions: tuple[table.Condition, ...]) -> Iterator[table.Condition]:
    for condition in conditions:
        yield from condition.conditions if isinstance(condition, table.AnyOf) else (condition,)


def expected(nr: int, ip: int, args: list[int], *, moved: bool) -> int:
    """What the rows say, in words of their own."""
    if nr == STUB_END_NR and STUB_BASE <= ip < STUB_BASE + STUB_TEXT_SIZE:
        return TRACE
    row = BY_NUMBER.get(nr)
    if row is None:
        return ENOSYS
    if isinstance(row.behaviour, table.Pass) or row.senders or row.addresses:
        return ALLOW
    if row.moved and not moved and not (row.unmoved and holds(row.unmoved, args)):
        return ALLOW
    if STUB_BASE <= ip < STUB_BASE + STUB_TEXT_SIZE:
        return ALLOW
    if not all(holds(condition, args) for condition in row.conditions):
        return ALLOW
    return TRACE


FILTERS = {moved: gen_filter.build_filter(moved=moved) for moved in (False, True)}

# Values that rows speak of, their neighbours, and anything.
SPOKEN = sorted(
    {value for row in table.ROWS for c in row.conditions if isinstance(c, table.ArgIn)
     for value in c.values}
    | {1 << bit for bit in range(64)}
)  # fmt: skip
ARGUMENT = st.one_of(
    st.sampled_from(SPOKEN),
    st.builds(lambda low, high: low | high << 32, st.sampled_from(SPOKEN), st.integers(0, U32))
    .map(lambda value: value & U64),
    st.just(0),
    st.integers(0, U64),
)  # fmt: skip
POINTER = st.one_of(
    st.integers(STUB_BASE - 2, STUB_BASE + 2),
    st.integers(STUB_BASE + STUB_TEXT_SIZE - 2, STUB_BASE + STUB_TEXT_SIZE + 2),
    st.sampled_from([(STUB_BASE & U32) + 5, STUB_BASE + (1 << 32), STUB_BASE - (1 << 32) + 5]),
    st.integers(0, U64),
)
NUMBER = st.one_of(
    st.integers(0, NEWEST),
    st.sampled_from([row.x86_64 for row in table.ROWS if row.when]),
    st.sampled_from([NEWEST, NEWEST + 1, STUB_END_NR, 0x4000_0000, 0x4000_0027, U32]),
    st.integers(0, U32),
)


# -- the rows --------------------------------------------------------------------------------------


def test_one_row_for_every_number_of_linux_6_18():
    assert sorted(BY_NUMBER) == [*range(337), *range(424, 470)]
    assert len(table.ROWS) == len(BY_NUMBER) == len({row.name for row in table.ROWS})


def test_numbers_agree_with_the_headers_of_this_machine():
    source = subprocess.run(
        [*_cc(), "-E", "-dM", "-x", "c", "-"],
        input="#include <asm/unistd_64.h>\n", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    known = {name: int(nr) for name, nr in re.findall(r"#define __NR_(\w+) (\d+)\n", source)}
    assert len(known) > 300
    mine = {row.name: row.x86_64 for row in table.ROWS}
    assert {name: mine.get(name) for name in known if known[name] <= NEWEST} == {
        name: nr for name, nr in known.items() if nr <= NEWEST
    }


def test_every_difference_has_a_reason():
    for row in table.ROWS:
        assert row.room
        assert isinstance(row.behaviour, table.Pass) or row.note, row.name


def test_a_passed_call_has_no_conditions():
    for row in table.ROWS:
        if isinstance(row.behaviour, table.Pass):
            assert not row.conditions, row.name
            assert not row.moved, row.name


SHARED = [row for row in table.ROWS if isinstance(row.behaviour, table.Share)]


@pytest.mark.parametrize("row", SHARED, ids=lambda row: row.name)
def test_a_shared_call_is_one_rooms_at_a_time(row: table.Row):
    share = row.behaviour
    assert set(share.hooks) == set(share.values)
    spoken = [value for values in share.values.values() for value in values]
    assert len(spoken) == len(set(spoken)), "two rooms cannot have one value"
    assert row.when == (), "its values are the condition"


def test_conditions_name_arguments_that_exist():
    for row in table.ROWS:
        for condition in row.conditions:
            parts = condition.conditions if isinstance(condition, table.AnyOf) else (condition,)
            assert all(part.arg in range(6) for part in parts)
        if isinstance(row.behaviour, table.Translate):
            assert row.behaviour.args or row.behaviour.result
            assert all(arg in range(6) for arg in row.behaviour.args)
        if isinstance(row.behaviour, table.Hook):
            assert row.behaviour.enter or row.behaviour.exit


def test_a_result_alone_is_translated_in_moved_pods_only():
    """In a pod that never moved such a stop would do nothing."""
    for row in table.ROWS:
        if isinstance(row.behaviour, table.Translate) and not row.behaviour.args:
            assert row.moved, row.name


def test_support_table_names_every_call_once():
    text = gen_tables.support_table()
    for name in table.names().values():
        assert text.count(f"`{name}`") == 1, name
    assert "| `io_uring_setup` | refused: `ENOSYS` |" in text


# -- the filters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [False, True])
def test_filter_is_well_formed(moved):
    program = FILTERS[moved]
    assert len(program) < 1000  # BPF_MAXINSNS is 4096
    for at, (code, jt, jf, k) in enumerate(program):
        assert 0 <= jt < 256
        assert 0 <= jf < 256
        if code != 0x06:
            farthest = k if code == 0x05 else max(jt, jf)
            assert at + 1 + farthest < len(program)
    assert program[-1].code == 0x06


@pytest.mark.parametrize("moved", [False, True])
def test_every_number_by_itself(moved):
    for nr in [*range(NEWEST + 100), STUB_END_NR, 0x4000_0000, 0x4000_0000 + 39, U32]:
        for args in ([0] * 6, [1] * 6, [U64] * 6):
            for ip in (0, 0x40_0000, STUB_BASE + 2, STUB_BASE + STUB_TEXT_SIZE):
                verdict, _ = run(FILTERS[moved], seccomp_data(nr, 0xC000003E, ip, args))
                assert verdict == expected(nr, ip, args, moved=moved), (nr, args, hex(ip))


@settings(max_examples=2000, deadline=None)
@given(NUMBER, POINTER, st.lists(ARGUMENT, min_size=6, max_size=6), st.booleans())
def test_filter_does_what_the_rows_say(nr, ip, args, moved):
    verdict, _ = run(FILTERS[moved], seccomp_data(nr, 0xC000003E, ip, args))
    assert verdict == expected(nr, ip, args, moved=moved)


@pytest.mark.parametrize(
    "row", [r for r in table.ROWS if r.when or r.unmoved], ids=lambda row: row.name
)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_conditions_of_each_row(row, data):
    """Arguments drawn close to what the row asks for, so that both answers are met."""
    args = data.draw(st.lists(ARGUMENT, min_size=6, max_size=6))
    for condition in simple((*row.conditions, *filter(None, [row.unmoved]))):
        near = {
            table.ArgIn: lambda c: st.sampled_from([*c.values, 0, 3, U32, 1 << 31]),
            table.ArgMask: lambda c: st.sampled_from([c.bits, c.bits & -c.bits, ~c.bits & U64, 0]),
            table.ArgPtr: lambda c: st.sampled_from([0, 1, 1 << 32, U64]),
        }[type(condition)](condition)
        args[condition.arg] = data.draw(near)
    moved = data.draw(st.booleans())
    verdict, _ = run(FILTERS[moved], seccomp_data(row.x86_64, 0xC000003E, 0x40_0000, args))
    assert verdict == expected(row.x86_64, 0x40_0000, args, moved=moved)


LOOKED = {moved: gen_filter.build_filter(moved=moved, looks=True) for moved in (False, True)}


def is_looked(row: table.Row, args: list[int], *, moved: bool) -> bool:
    if row.is_looked(moved=moved):
        return True
    return moved and bool(row.looks_if) and all(holds(each, args) for each in row.looks_if)


@given(
    row=st.one_of(
        st.sampled_from(table.ROWS), st.sampled_from([r for r in table.ROWS if r.looks_if])
    ),
    ip=st.sampled_from([0x40_0000, STUB_BASE + 64]),
    args=st.lists(ARGUMENT, min_size=6, max_size=6),
    moved=st.booleans(),
)
def test_what_is_looked_at_would_have_stopped(row, ip, args, moved):
    """Calls that need neither registers nor their end are told of; all else is as without."""
    data = seccomp_data(row.x86_64, 0xC000003E, ip, args)
    verdict = expected(row.x86_64, ip, args, moved=moved)
    if verdict == TRACE and is_looked(row, args, moved=moved):
        verdict = NOTIFY
    assert run(LOOKED[moved], data)[0] == verdict


def test_what_is_looked_at():
    """A hook that has an exit half, or may change what is issued, needs a stop."""
    for moved in (False, True):
        looked = {row.name for row in table.ROWS if row.is_looked(moved=moved)}
        assert looked >= {"getppid", "semget", "ptrace"}
        assert not looked & {"clone", "vfork", "prctl", "semop", "fcntl", "wait4", "seccomp"}
    fresh, moved = ({r.name for r in table.ROWS if r.is_looked(moved=m)} for m in (False, True))
    assert fresh - moved >= {"kill", "tgkill", "setpgid", "setpriority", "prlimit64"}
    assert {r.name for r in table.ROWS if r.looks_if} == {"kill", "clock_gettime"}
    assert moved <= fresh
    issued = {r.name for r in table.ROWS if r.looks}
    assert issued == {"kill", "getpriority", "setpriority", "ioprio_get", "ioprio_set", "prlimit64"}


@pytest.mark.parametrize("arch", [0x4000_0003, 0xC000_00B7, 0])
def test_other_architectures_have_no_calls(arch):
    for moved in (False, True):
        for nr in range(NEWEST + 1):
            assert run(FILTERS[moved], seccomp_data(nr, arch, 0, [0] * 6))[0] == ENOSYS


@pytest.mark.parametrize("flag", ["senders", "addresses", "kept"])
def test_some_have_a_filter_of_their_own(flag):
    """It lets pass all that the other decides, and what the stub does, but for its end."""
    program = getattr(gen_filter, f"build_{flag}_filter")()
    shown = {row.x86_64 for row in table.ROWS if getattr(row, flag)}
    for nr in range(NEWEST + 1):
        other = ALLOW if BY_NUMBER.get(nr) and BY_NUMBER[nr].when else TRACE
        for ip, size, here in (
            (0x40_0000, 128 * 3, TRACE),
            (0x40_0000, 7, other),
            (STUB_BASE + 64, 128, ALLOW),
        ):
            verdict, _ = run(program, seccomp_data(nr, 0xC000003E, ip, [size] * 6))
            if nr == STUB_END_NR:
                assert verdict == (TRACE if ip >= STUB_BASE else ALLOW)
            else:
                assert verdict == (here if nr in shown else ALLOW), nr
    for moved in (False, True):
        for nr in shown:
            verdict, _ = run(FILTERS[moved], seccomp_data(nr, 0xC000003E, 0x40_0000, [7] * 6))
            assert verdict == ALLOW


@pytest.mark.parametrize("moved", [False, True])
def test_passed_calls_are_decided_by_their_number_alone(moved):
    """Else the kernel could not keep the answer, and every call would run the filter."""
    for row in table.ROWS:
        if row.stops_if(moved=moved) is None and row.x86_64 != STUB_END_NR:
            verdict, seen = run(
                FILTERS[moved], seccomp_data(row.x86_64, 0xC000003E, 0x40_0000, [7] * 6)
            )
            assert verdict == ALLOW
            assert seen <= {gen_filter.NR, gen_filter.ARCH}, row.name


def test_long_jumps():
    """A target beyond the reach of a conditional jump, both ways, and one just within."""
    for padding in (254, 255, 256, 600):
        asm = gen_filter.Assembler()
        asm.load(0)
        asm.jump(gen_filter.JEQ, 7, yes="far", no="near")
        asm.label("near")
        for _ in range(padding):
            asm.load(0)
        asm.jump(gen_filter.JEQ, 8, no="far")
        asm.ret(1)
        asm.label("far")
        asm.ret(2)
        program = asm.finish()
        for nr, verdict in ((7, 2), (8, 1), (9, 2)):
            assert run(program, seccomp_data(nr, 0, 0, [0] * 6))[0] == verdict


# -- the headers -----------------------------------------------------------------------------------

PRELUDE = f"""
#include <stddef.h>
#include <stdint.h>
#define ZT_STUB_BASE {STUB_BASE:#x}ULL
#define ZT_STUB_TEXT_SIZE {STUB_TEXT_SIZE:#x}
#define ZT_STUB_LIMIT (ZT_STUB_BASE + {STUB_SIZE:#x})
#define ZT_STUB_END_NR {STUB_END_NR:#x}U
struct zt_pod; struct zt_task;
#include "{CSRC}/pod/call.h"
#include "zt_tables.h"
#include "zt_filter.h"
"""


def _cc() -> list[str]:
    return (os.environ.get("CC") or "cc").split()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compile a program that includes the headers, with hooks that do nothing; return it."""
    scratch = tmp_path_factory.mktemp("tables")
    gen_tables.generate(scratch)

    def compile_(body: str) -> Path:
        hooks = re.sub(
            r"^(zt_verdict|void) (\w+\(.*\));$",
            lambda m: f"{m[1]} {m[2]} {{ {'return 0;' if m[1] != 'void' else ''} }}",
            (scratch / "zt_hooks.h").read_text(),
            flags=re.MULTILINE,
        )
        unnamed = "-Wno-unused-parameter"
        for kind in ("pod", "task", "call"):
            hooks = hooks.replace(f"struct zt_{kind} *", f"struct zt_{kind} *{kind}")
        hooks = hooks.replace("#pragma once", "")
        (scratch / "main.c").write_text(PRELUDE + hooks + body)
        program = scratch / "main"
        subprocess.run(
            [*_cc(), "-std=gnu11", "-Wall", "-Wextra", "-Werror", unnamed, "-I", str(scratch),
             "-o", str(program), str(scratch / "main.c")],
            check=True,
        )  # fmt: skip
        return program

    return compile_


def columns_of_condition(condition: table.ArgIs | None) -> list[int]:
    return [condition.arg, condition.mask, condition.value] if condition else [0, 0, 0]


def columns_of_wait(row: table.Row) -> list[int]:
    timeout = row.timeout
    if timeout is None:
        return [0, 0, 0, 0, 0, row.eintr]
    unit = [table.Unit.MILLISECONDS, table.Unit.TIMESPEC].index(timeout.unit) + 1
    return [unit, timeout.arg, *columns_of_condition(timeout.span), row.eintr]


def columns_of_part(part: table.Part | None) -> list[int]:
    if part is None:
        return [0] * 14
    return [
        [*table.Shape].index(part.shape) + 1, part.at, part.size, part.fd,
        part.on.value if part.on else 0, *columns_of_condition(part.when), part.receives,
        part.flags is not None, part.flags or 0, part.also, sum(1 << arg for arg in part.drop),
        part.noted,
    ]  # fmt: skip


def test_headers_compile_and_say_the_same(compiled):
    program = compiled(r"""
        #include <stdio.h>
        static void dump(const char *name, const struct sock_filter *f, size_t n)
        {
            for (size_t i = 0; i < n; i++)
                printf("%s %u %u %u %u\n", name, f[i].code, f[i].jt, f[i].jf, f[i].k);
        }
        int main(void)
        {
            for (int nr = 0; nr < ZT_NR_COUNT; nr++) {
                const struct zt_row *r = &zt_rows[nr];
                printf("row %d %s %d %d %d %u %d %d %d\n", nr, r->name ? r->name : "-", r->class,
                       r->moved, r->refuse_errno, r->arg_ids, r->result_id, !!r->enter, !!r->exit);
                const zt_timeout *t = &r->timeout;
                const zt_part *p = &r->part;
                printf("wait %d %d %d %d %u %u %d\n", nr, t->unit, t->arg, t->span.arg,
                       t->span.mask, t->span.value, r->eintr);
                printf("part %d %d %d %d %d %u %u %u %u %d %d %d %u %u %d\n", nr, p->shape, p->at,
                       p->size, p->fd, p->on, p->when.arg, p->when.mask, p->when.value,
                       p->receives, p->has_flags, p->flags, p->also, p->drop, p->noted);
            }
            dump("fresh", zt_filter_fresh, sizeof(zt_filter_fresh) / sizeof(*zt_filter_fresh));
            dump("moved", zt_filter_moved, sizeof(zt_filter_moved) / sizeof(*zt_filter_moved));
            return 0;
        }
    """)
    lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    order = [None, table.Pass, table.Translate, table.Answer, table.Hook, table.Refuse]
    rows = re.findall(r"^row (\d+) (\S+) (\d) (\d) (\d+) (\d+) (\d) (\d) (\d)$", lines, re.M)
    assert len(rows) == NEWEST + 1
    for nr, name, *numbers in rows:
        class_, moved, refused, arg_ids, result_id, enter, exit_ = map(int, numbers)
        row = BY_NUMBER.get(int(nr))
        if row is None:
            assert (name, class_, enter, exit_) == ("-", 0, 0, 0)
            continue
        behaviour = row.behaviour
        translate = isinstance(behaviour, table.Translate)
        assert name == row.name
        assert order[class_] in (type(behaviour), isinstance(behaviour, table.Share) and table.Hook)
        assert moved == row.moved
        assert refused == (behaviour.number if isinstance(behaviour, table.Refuse) else 0)
        assert {arg for arg in range(6) if arg_ids >> arg & 1} == set(
            behaviour.args if translate else ()
        )
        assert result_id == (translate and behaviour.result is not None)
        assert (enter, exit_) == (bool(row.enter), bool(row.exit))

    waits = re.findall(r"^wait (\d+) (.*)$", lines, re.M)
    parts = re.findall(r"^part (\d+) (.*)$", lines, re.M)
    for (nr, wait), (_, part) in zip(waits, parts, strict=True):
        if row := BY_NUMBER.get(int(nr)):
            assert [*map(int, wait.split())] == columns_of_wait(row), row.name
            assert [*map(int, part.split())] == columns_of_part(row.part), row.name

    for name, moved in (("fresh", False), ("moved", True)):
        dumped = re.findall(rf"^{name} (\d+) (\d+) (\d+) (\d+)$", lines, re.M)
        assert [tuple(map(int, insn)) for insn in dumped] == [
            (code, jt, jf, MACROS.get(k, k)) for code, jt, jf, k in FILTERS[moved]
        ]


@pytest.mark.parametrize("name", ["fresh", "moved"])
def test_the_kernel_takes_the_filter(compiled, name):
    """As an ordinary user, with no tracer: a call that would be traced is answered ENOSYS."""
    program = compiled(
        f"#define FILTER zt_filter_{name}"
        + r"""
        #include <stdio.h>
        #include <errno.h>
        #include <unistd.h>
        #include <sys/prctl.h>
        #include <sys/syscall.h>
        #include <linux/seccomp.h>
        static int fails(long nr, long a, long b)
        {
            errno = 0;
            return syscall(nr, a, b, 0, 0) == -1 ? errno : 0;
        }
        int main(void)
        {
            struct sock_fprog program = {
                sizeof(FILTER) / sizeof(*FILTER), (struct sock_filter *)FILTER,
            };
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
                prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
                return 1;
            printf("%d %d ", fails(SYS_ptrace, 99, 0), fails(SYS_seccomp, 99, 0));
            printf("%d ", fails(400, 0, 0));
            printf("%d %d ", fails(SYS_kill, 0, 0), fails(SYS_getpid, 0, 0));
            printf("%d\n", fails(SYS_sched_getparam, 0, 0));
            return 0;
        }
    """
    )
    answers = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    getpid = {"fresh": "0", "moved": "38"}[name]
    assert answers == ["38", "22", "38", "38", getpid, "22"]

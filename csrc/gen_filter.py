"""The seccomp filters: which calls stop at all, and which are refused, from the rows of syscalls.py.

A filter is a decision tree over the number, and what its leaves jump to:

    arch == x86-64? ── no ──> ENOSYS
    number == ZT_STUB_END_NR? ── yes ──> from the stub? TRACE : ALLOW
    number > newest? ── yes ──> ENOSYS                 so are the x32 numbers
    tree ─┬─> ALLOW                                    Pass; and `moved` rows, in the fresh filter
          ├─> ENOSYS                                   no row
          ├─> when ─┬─> ALLOW                          one block for each set of conditions
          │         └─> from the stub? ALLOW : TRACE or NOTIFY
          └─> from the stub? ALLOW : TRACE or NOTIFY   one tail for each outcome

Where only some of a row's calls can be looked at, its block tells which of the two.

NOTIFY, what is looked at without a stop, is TRACE where a host has no such thing.

A call that is passed is decided from its number and architecture alone, as the kernel then keeps
the answer in a bitmap and does not run the filter at all (seccomp's action cache, Linux 5.11). A
call that the stub makes is ours: if it has a row, it is allowed, whatever the row says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gen_hooks import GENERATED
from syscalls import (
    ARCH_GET_CPUID,
    ROWS,
    AnyOf,
    ArgIn,
    ArgMask,
    ArgPtr,
    Condition,
    Refuse,
    Row,
    comes_if_detached,
)

# -- a small assembler for classic BPF -------------------------------------------------------------
# A jump names its target by label. Conditional jumps reach 255 instructions only: one that must go
# further is replaced by a short one over a JA, which reaches any.

LD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS: load a word of struct seccomp_data
JUMP = 0x05  # BPF_JMP | BPF_JA
JEQ = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JGT = 0x25
JGE = 0x35
JSET = 0x45
RET = 0x06  # BPF_RET | BPF_K

REACH = 255

# offsets in struct seccomp_data; a 64-bit member has its low half first
NR = 0
ARCH = 4
IP_LOW, IP_HIGH = 8, 12


def arg_low(arg: int) -> int:
    return 16 + 8 * arg


def arg_high(arg: int) -> int:
    return arg_low(arg) + 4


AUDIT_ARCH_X86_64 = 0xC000003E
RET_ALLOW = 0x7FFF0000
RET_TRACE = 0x7FF00000 | 0x7A74  # ZT_FILTER_TRACES of csrc/ptrace/filter.h
RET_NOTIFY = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
RET_ERRNO = 0x00050000

# Constants that csrc/arch/ gives, left to the C compiler.
STUB_END_NR = "ZT_STUB_END_NR"
STUB_HIGH = "ZT_STUB_BASE >> 32"
STUB_FIRST = "ZT_STUB_BASE"
STUB_SIZE = "ZT_STUB_LIMIT - ZT_STUB_BASE"
STUB_LAST = "ZT_STUB_BASE + ZT_STUB_TEXT_SIZE - 1"

Constant = int | str


class Insn(NamedTuple):
    """One struct sock_filter. `k` is a number, or C text that the compiler takes 32 bits of."""

    code: int
    jt: int
    jf: int
    k: Constant


@dataclass(frozen=True)
class _Label:
    name: str


@dataclass(frozen=True)
class _Plain:
    code: int
    k: Constant


@dataclass(frozen=True)
class _Jump:
    """Goes to `yes` or `no`; None is the next instruction. JA has only `yes`."""

    code: int
    k: Constant
    yes: str | None
    no: str | None = None


class Assembler:
    """Collects instructions and labels, and gives the finished program."""

    def __init__(self) -> None:
        self._items: list[_Label | _Plain | _Jump] = []

    def label(self, name: str) -> None:
        self._items.append(_Label(name))

    def load(self, offset: int) -> None:
        self._items.append(_Plain(LD_WORD, offset))

    def ret(self, value: int) -> None:
        self._items.append(_Plain(RET, value))

    def goto(self, target: str) -> None:
        self._items.append(_Jump(JUMP, 0, target))

    def jump(self, code: int, k: Constant, yes: str | None = None, no: str | None = None) -> None:
        self._items.append(_Jump(code, k, yes, no))

    def finish(self) -> list[Insn]:
        """Place everything; lengthen jumps that do not reach until all of them do."""
        long: set[int] = set()
        while True:
            place, labels, at = [], {}, 0
            for index, item in enumerate(self._items):
                place.append(at)
                if isinstance(item, _Label):
                    labels[item.name] = at
                else:
                    at += 3 if index in long else 1
            short = {
                index
                for index, item in enumerate(self._items)
                if isinstance(item, _Jump)
                and item.code != JUMP
                and index not in long
                and any(
                    labels[target] - place[index] - 1 > REACH
                    for target in (item.yes, item.no)
                    if target
                )
            }
            if not short:
                break
            long |= short

        program: list[Insn] = []
        for index, item in enumerate(self._items):
            match item:
                case _Plain(code, k):
                    program.append(Insn(code, 0, 0, k))
                case _Jump(code, k, yes, no):
                    after = place[index] + (3 if index in long else 1)
                    to_yes = labels[yes] if yes else after
                    to_no = labels[no] if no else after
                    if code == JUMP:
                        program.append(Insn(JUMP, 0, 0, to_yes - after))
                    elif index in long:
                        program.append(Insn(code, 0, 1, k))
                        program.append(Insn(JUMP, 0, 0, to_yes - after + 1))
                        program.append(Insn(JUMP, 0, 0, to_no - after))
                    else:
                        program.append(Insn(code, to_yes - after, to_no - after, k))
        return program


# -- the filters -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fate:
    """What becomes of a number: `ret`, if the conditions hold; else `otherwise`, or it is allowed.

    Where `but_stub` is set, the stub's own calls are allowed too.
    """

    ret: int
    when: tuple[Condition, ...] = ()
    but_stub: bool = True
    otherwise: Fate | None = None

    @property
    def tail(self) -> str:
        return f"tail {self.ret:#x}"

    @property
    def label(self) -> str:
        return f"when {self.when} {self.tail}" if self.when else self.tail

    @property
    def alternatives(self) -> Iterator[Fate]:
        yield self
        if self.otherwise:
            yield from self.otherwise.alternatives


ALLOWED = Fate(RET_ALLOW, but_stub=False)
UNKNOWN = Fate(RET_ERRNO | Refuse("ENOSYS").number, but_stub=False)


def fate(row: Row | None, *, moved: bool, looks: bool = False, detaches: bool = False) -> Fate:
    """What the filter does with a row, in pods that moved or in those that did not."""
    if row is None:
        return UNKNOWN
    if detaches:
        return _fate_detached(row)
    conditions = row.stops_if(moved=moved)
    if conditions is None:
        return ALLOWED
    if looks and row.is_looked(moved=moved):
        return Fate(RET_NOTIFY, conditions)
    stops = Fate(RET_TRACE, conditions)
    if looks and moved and row.looks_if:
        return Fate(RET_NOTIFY, conditions + row.looks_if, otherwise=stops)
    return stops


def _fate_detached(row: Row) -> Fate:
    """In a pod that never moved and whose threads are attached only while something needs it."""
    conditions = comes_if_detached(row)
    if conditions is None:
        return ALLOWED
    comes = Fate(RET_NOTIFY, conditions)
    if row.name == "arch_prctl":  # an attached program that has not begun: csrc/ptrace/install.c
        return Fate(
            RET_TRACE, (ArgIn(0, (ARCH_GET_CPUID,)), ArgIn(1, (STUB_SIZE,))), otherwise=comes
        )
    return comes


def _emit_tree(asm: Assembler, runs: Sequence[tuple[int, Fate]]) -> None:
    """Runs are (first number, fate). Halve them until one is left; A holds the number."""
    if len(runs) == 1:
        fate = runs[0][1]
        if fate.but_stub:
            asm.goto(fate.label)
        else:
            asm.ret(fate.ret)
        return
    middle = len(runs) // 2
    first = runs[middle][0]
    right = f"from {first}"
    asm.jump(JGE, first, yes=right)
    _emit_tree(asm, runs[:middle])
    asm.label(right)
    _emit_tree(asm, runs[middle:])


def _emit_conditions(
    asm: Assembler, conditions: tuple[Condition, ...], label: str, *, no: str
) -> None:
    """Fall through if all hold, else go to `no`."""
    for number, condition in enumerate(conditions):
        holds = f"{label} holds {number}"
        choices = condition.conditions if isinstance(condition, AnyOf) else (condition,)
        for choice, each in enumerate(choices[:-1]):
            fails = f"{holds} not by {choice}"
            _emit_condition(asm, each, yes=holds, no=fails)
            asm.label(fails)
        _emit_condition(asm, choices[-1], yes=holds, no=no)
        asm.label(holds)


def _emit_condition(asm: Assembler, condition: Condition, *, yes: str, no: str) -> None:
    match condition:
        case ArgIn(arg, values, negative):
            asm.load(arg_low(arg))
            for value in values if negative else values[:-1]:
                asm.jump(JEQ, value, yes=yes)
            if negative:
                asm.jump(JGE, 0x8000_0000, yes=yes, no=no)
            else:
                asm.jump(JEQ, values[-1], yes=yes, no=no)
        case ArgMask(arg, bits, clear):
            asm.load(arg_low(arg))
            asm.jump(JSET, bits, yes=no if clear else yes, no=yes if clear else no)
        case ArgPtr(arg):
            asm.load(arg_low(arg))
            asm.jump(JSET, 0xFFFF_FFFF, yes=yes)
            asm.load(arg_high(arg))
            asm.jump(JSET, 0xFFFF_FFFF, yes=yes, no=no)


def _emit_from_the_stub(asm: Assembler, *, yes: str, no: str) -> None:
    asm.load(IP_HIGH)
    asm.jump(JEQ, STUB_HIGH, no=no)
    asm.load(IP_LOW)
    asm.jump(JGE, STUB_FIRST, no=no)
    asm.jump(JGT, STUB_LAST, yes=no, no=yes)


def build_filter(
    rows: Iterable[Row] = ROWS, *, moved: bool, looks: bool = False, detaches: bool = False
) -> list[Insn]:
    by_number = {row.x86_64: row for row in rows}
    numbers = range(max(by_number) + 1)
    fates = [fate(by_number.get(nr), moved=moved, looks=looks, detaches=detaches) for nr in numbers]
    return _build(fates)


def build_senders_filter(rows: Iterable[Row] = ROWS) -> list[Insn]:
    """What stops besides, where senders are shown."""
    return _build_besides(rows, [row for row in rows if row.senders])


def build_addresses_filter(rows: Iterable[Row] = ROWS) -> list[Insn]:
    """What stops besides, where connections have other addresses than the host's."""
    return _build_besides(rows, [row for row in rows if row.addresses])


def build_kept_filter(rows: Iterable[Row] = ROWS) -> list[Insn]:
    """What stops besides, where connections are kept that wait to be accepted."""
    return _build_besides(rows, [row for row in rows if row.kept])


def _build_besides(rows: Iterable[Row], besides: Iterable[Row]) -> list[Insn]:
    shown = {row.x86_64: Fate(RET_TRACE, row.conditions) for row in besides}
    newest = max(row.x86_64 for row in rows)
    return _build([shown.get(nr, ALLOWED) for nr in range(newest + 1)])


def _build(fates: Sequence[Fate]) -> list[Insn]:
    runs = [(nr, fates[nr]) for nr in range(len(fates)) if nr == 0 or fates[nr] != fates[nr - 1]]
    each_once = dict.fromkeys(one for fate in fates for one in fate.alternatives)
    guarded = [fate for fate in each_once if fate.but_stub]

    asm = Assembler()
    asm.load(ARCH)
    asm.jump(JEQ, AUDIT_ARCH_X86_64, no="unknown")
    asm.load(NR)
    asm.jump(JEQ, STUB_END_NR, yes="end")
    asm.jump(JGE, len(fates), yes="unknown")
    _emit_tree(asm, runs)

    for each in guarded:
        if each.label == each.tail:
            continue
        asm.label(each.label)
        _emit_conditions(
            asm, each.when, each.label, no=each.otherwise.label if each.otherwise else "allow"
        )
        asm.goto(each.tail)
    for tail, ret in {each.tail: each.ret for each in guarded}.items():
        asm.label(tail)
        _emit_from_the_stub(asm, yes="allow", no=f"{tail} outside")
        asm.label(f"{tail} outside")
        asm.ret(ret)
    asm.label("end")
    _emit_from_the_stub(asm, yes="trace", no="allow")

    asm.label("allow")
    asm.ret(RET_ALLOW)
    asm.label("unknown")
    asm.ret(UNKNOWN.ret)
    asm.label("trace")
    asm.ret(RET_TRACE)
    return asm.finish()


_FIELDS = {NR: "nr", ARCH: "arch", IP_LOW: "ip", IP_HIGH: "ip >> 32"}
_FIELDS |= {arg_low(arg): f"arg {arg}" for arg in range(6)}
_FIELDS |= {arg_high(arg): f"arg {arg} >> 32" for arg in range(6)}
_TESTS = {JEQ: "==", JGT: ">", JGE: ">=", JSET: "&"}


def _explain(at: int, insn: Insn) -> str:
    """An instruction in words, for whoever reads the generated header."""
    match insn:
        case Insn(code=0x20, k=offset):
            return f"look at {_FIELDS[offset]}"
        case Insn(code=0x05, k=distance):
            return f"goto {at + 1 + distance}"
        case Insn(code=0x06, k=0x7FFF0000):
            return "allow"
        case Insn(code=0x06, k=value) if value == RET_TRACE:
            return "trace"
        case Insn(code=0x06, k=value) if value == RET_NOTIFY:
            return "notify"
        case Insn(code=0x06, k=value):
            return f"errno {value & 0xFFFF}"
    value = insn.k if isinstance(insn.k, str) else f"{insn.k:#x}" if insn.k > 4096 else insn.k
    return f"{_TESTS[insn.code]} {value}? {at + 1 + insn.jt} : {at + 1 + insn.jf}"


def _array(name: str, program: Sequence[Insn]) -> list[str]:
    lines = [f"static const struct sock_filter {name}[] = {{"]
    for at, insn in enumerate(program):
        code, jt, jf, k = insn
        value = f"(__u32)({k})" if isinstance(k, str) else f"{k:#x}"
        lines.append(f"\t{{ {code:#04x}, {jt}, {jf}, {value} }}, /* {at}: {_explain(at, insn)} */")
    return [*lines, "};"]


def filter_header(rows: Sequence[Row] = ROWS) -> str:
    return "\n".join(
        [
            GENERATED,
            "#pragma once",
            "",
            "/* ZT_STUB_BASE, ZT_STUB_TEXT_SIZE and ZT_STUB_END_NR come from arch/, before this. */",
            "#include <linux/filter.h>",
            "",
            "/* The filter sees the address after the syscall instruction, so that one must not be the",
            " * last instruction of the stub's text. */",
            f"_Static_assert((({STUB_FIRST}) >> 32) == (({STUB_LAST}) >> 32),",
            '\t       "the stub\'s text must not cross a 4 GiB boundary: the filter compares halves");',
            "",
            "/* For a pod that never moved: ids and clocks are the kernel's own. */",
            *_array("zt_filter_fresh", build_filter(rows, moved=False)),
            "",
            "/* For a pod that was restored. */",
            *_array("zt_filter_moved", build_filter(rows, moved=True)),
            "",
            "/* Both, where the host lets us look without a stop. */",
            *_array("zt_filter_fresh_looked", build_filter(rows, moved=False, looks=True)),
            "",
            *_array("zt_filter_moved_looked", build_filter(rows, moved=True, looks=True)),
            "",
            "/* For one that never moved, whose threads are attached only while something needs it. */",
            *_array("zt_filter_detached", build_filter(rows, moved=False, detaches=True)),
            "",
            "/* Besides, where senders are shown. */",
            *_array("zt_filter_senders", build_senders_filter(rows)),
            "",
            "/* Besides, where connections have other addresses than the host's. */",
            *_array("zt_filter_addresses", build_addresses_filter(rows)),
            "",
            "/* Besides, where connections are kept that wait to be accepted. */",
            *_array("zt_filter_kept", build_kept_filter(rows)),
            "",
        ]
    )

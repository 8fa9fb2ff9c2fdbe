"""Code that serves calls in the process, one piece for each site.

    site ──e──> pad ──┐
    site ──a, a3──────┴──> hop (near) ──> piece, in the fixed range ──> behind the site
                                             └─ what it does not want ─> slow

A piece uses no stack, no memory of the program's and no registers but rax, rcx and r11, which every
system call takes: so it runs on whatever stack there is, and in a child that has only just been born. All
others come back as they were. What it does not want is made as a call that stops, as ever: a number
that is no member's, 0 and below, or a number of a call that it does not know. Of shapes a and a3 that is
the site's own `syscall`; of shape e, which has replaced it, one in a range of its own that the filter
lets stop.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from .finder import JUMP_SIZE, SYSCALL, Shape, Site

Data = bytes | memoryview

HOP_SIZE = 16
GETPID = 39
TGKILL = 234


class Way(Enum):
    """How a call is served."""

    CACHED = "cached"
    """The caller's own number, kept in a word: 0, not known; below 0, not to be kept."""
    TELLS = "tells"
    """It gives a number."""
    TELLS_PARENT = "tells a parent"
    """The same; 0, who is outside of all that can be seen, is process 1."""
    TAKES_ONE = "takes one"
    TAKES_TWO = "takes two"


SERVED = {
    GETPID: Way.CACHED,
    186: Way.TELLS,  # gettid
    110: Way.TELLS_PARENT,  # getppid
    62: Way.TAKES_ONE,  # kill
    200: Way.TAKES_ONE,  # tkill
    TGKILL: Way.TAKES_TWO,
    142: Way.TAKES_ONE,  # sched_setparam ...
    143: Way.TAKES_ONE,
    144: Way.TAKES_ONE,
    145: Way.TAKES_ONE,
    148: Way.TAKES_ONE,
    203: Way.TAKES_ONE,
    204: Way.TAKES_ONE,
    314: Way.TAKES_ONE,
    315: Way.TAKES_ONE,
}
"""None of these waits for anything."""


@dataclass(frozen=True)
class Memory:
    """Addresses in the process."""

    r2v: int
    v2r: int
    most: int
    """Numbers are below this."""
    own: int
    """The word that CACHED keeps, in a page that a fork wipes."""


@dataclass(frozen=True)
class Patch:
    """What is put where, in the order in which it has to be."""

    at: int
    before: bytes
    after: bytes


class _Assembler:
    """Code in which jumps go to labels."""

    def __init__(self) -> None:
        self.code = bytearray()
        self.labels: dict[str, int] = {}
        self.jumps: list[tuple[int, str]] = []

    def add(self, text: str, *values: tuple[int, int]) -> None:
        """Bytes in hexadecimal, and behind them values, each with its size."""
        self.code += bytes.fromhex(text)
        for value, size in values:
            self.code += value.to_bytes(size, "little")

    def label(self, name: str) -> None:
        self.labels[name] = len(self.code)

    def jump(self, opcode: str, name: str) -> None:
        """With a rel32."""
        self.code += bytes.fromhex(opcode) + bytes(4)
        self.jumps.append((len(self.code), name))

    def jump_far(self, to: int) -> None:
        """jmp *0(%rip), and the address."""
        self.add("ff 25 00 00 00 00", (to, 8))

    def finish(self) -> bytes:
        for end, name in self.jumps:
            self.code[end - 4 : end] = struct.pack("<i", self.labels[name] - end)
        return bytes(self.code)


def piece(found: Site, site: int, data: Data, slow: int, memory: Memory) -> bytes:
    """The code of a site: of the file `data`, at the address `site` in the process. `slow` is of shape e:
    where it goes with what it does not want."""
    asm = _Assembler()
    asm.code += data[found.at - found.displaced : found.at]
    numbers = [nr for nr in SERVED if found.nr in (None, nr)]
    for nr in numbers:
        asm.add("3d", (nr, 4))  # cmp $nr, %eax
        asm.jump("0f 84", SERVED[nr].value)  # je
    asm.label("slow")
    asm.jump_far(slow if found.shape is Shape.E else site)
    for way in dict.fromkeys(SERVED[nr] for nr in numbers):
        asm.label(way.value)
        _serve(asm, way, memory)
        asm.jump_far(site + len(SYSCALL))
    return asm.finish()


def slow_piece(site: int) -> bytes:
    """Of shape e, whose `syscall` is no more."""
    asm = _Assembler()
    asm.code += SYSCALL
    asm.jump_far(site + len(SYSCALL))
    return asm.finish()


def _serve(asm: _Assembler, way: Way, memory: Memory) -> None:
    match way:
        case Way.CACHED:
            _serve_cached(asm, memory)
        case Way.TELLS:
            asm.code += SYSCALL
            _tell(asm, memory)
        case Way.TELLS_PARENT:
            asm.code += SYSCALL
            _tell(asm, memory)
            asm.add("31 c9")  # xor %ecx, %ecx
            asm.add("83 f8 01")  # cmp $1, %eax: sets the carry for 0
            asm.add("11 c8")  # adc %ecx, %eax
        case Way.TAKES_ONE:
            _look_up(asm, memory, _RDI, "slow")
            asm.add("89 cf")  # mov %ecx, %edi
            asm.code += SYSCALL
            _give_back(asm, memory, _RDI)
        case (
            Way.TAKES_TWO
        ):  # nothing is changed before both are known, but eax, which can be had again
            _look_up(asm, memory, _RSI, "slow")
            asm.add("89 c8")  # mov %ecx, %eax
            _look_up(asm, memory, _RDI, "slow again")
            asm.add("89 c6 89 cf")  # mov %eax, %esi; mov %ecx, %edi
            asm.add("b8", (TGKILL, 4))
            asm.code += SYSCALL
            _give_back(asm, memory, _RDI)
            _give_back(asm, memory, _RSI)
            asm.jump("e9", "two done")
            asm.label("slow again")
            asm.add("b8", (TGKILL, 4))
            asm.jump("e9", "slow")
            asm.label("two done")


def _serve_cached(asm: _Assembler, memory: Memory) -> None:
    asm.add("a1", (memory.own, 8))  # movabs OWN, %eax
    asm.add("85 c0")  # test %eax, %eax
    asm.jump("0f 8f", "known")  # jg
    asm.add("b8", (GETPID, 4))
    asm.code += SYSCALL  # flags come back from the kernel as they were
    asm.add("49 bb", (memory.r2v, 8))  # movabs $R2V, %r11
    asm.add("41 8b 04 83")  # mov (%r11,%rax,4), %eax
    asm.jump("0f 88", "known")  # js
    asm.add("a3", (memory.own, 8))  # movabs %eax, OWN
    asm.label("known")


def _tell(asm: _Assembler, memory: Memory) -> None:
    asm.add("49 bb", (memory.r2v, 8))  # movabs $R2V, %r11
    asm.add("41 8b 04 83")  # mov (%r11,%rax,4), %eax


class _Register(Enum):
    """An argument, in the instructions that have to do with it."""

    RDI = ("48 8d 4f ff", "41 8b 0c bb", "8b 3c b9")
    RSI = ("48 8d 4e ff", "41 8b 0c b3", "8b 34 b1")


_RDI, _RSI = _Register.RDI, _Register.RSI


def _look_up(asm: _Assembler, memory: Memory, register: _Register, otherwise: str) -> None:
    """The kernel's number to ecx. All 64 bits are to be the program's: nobody could give the others
    back."""
    less_one, load, _ = register.value
    asm.add(less_one)  # lea -1(%reg), %rcx
    asm.add("48 81 f9", (memory.most - 1, 4))  # cmp $MOST-1, %rcx
    asm.jump("0f 83", otherwise)  # jae
    asm.add("49 bb", (memory.v2r, 8))  # movabs $V2R, %r11
    asm.add(load)  # mov (%r11,%reg,4), %ecx
    asm.add("85 c9")  # test %ecx, %ecx
    asm.jump("0f 84", otherwise)  # je


def _give_back(asm: _Assembler, memory: Memory, register: _Register) -> None:
    asm.add("48 b9", (memory.r2v, 8))  # movabs $R2V, %rcx
    asm.add(register.value[2])  # mov (%rcx,%reg,4), %reg


# -- the way there ---------------------------------------------------------------------------------


def hop(to: int) -> bytes:
    """HOP_SIZE bytes of a page near the site."""
    asm = _Assembler()
    asm.jump_far(to)
    return asm.finish().ljust(HOP_SIZE, b"\xcc")


def _jump(at: int, to: int) -> bytes:
    return b"\xe9" + struct.pack("<i", to - (at + JUMP_SIZE))


def patches(found: Site, site: int, data: Data, hop_at: int) -> list[Patch]:
    """What makes a site, of the file `data` and at the address `site`, jump to its hop.

    Raises struct.error when that is too far away.
    """
    if found.pad is not None:
        pad = site + found.pad - found.at
        short = b"\xeb" + struct.pack("<b", pad - (site + len(SYSCALL)))
        filled = bytes(data[found.pad : found.pad + JUMP_SIZE])
        return [Patch(pad, filled, _jump(pad, hop_at)), Patch(site, SYSCALL, short)]
    first = found.at - found.displaced
    at = site - found.displaced
    return [Patch(at, bytes(data[first : first + JUMP_SIZE]), _jump(at, hop_at))]


def is_wanted(found: Site) -> bool:
    """Is it worth a piece: does it make a call that is served, or may it?"""
    return found.shape is not Shape.NONE and (found.nr is None or found.nr in SERVED)

"""How long instructions of x86-64 are, and the little else that whoever moves one has to know.

Not what they do: this tells where one ends and the next begins. Of what it does not know for certain (an
encoding that programs do not use, or that is newer than this) it says that it does not, and whoever
asked leaves that function alone.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    OTHER = auto()
    SYSCALL = auto()
    END = auto()
    """Nothing behind it is reached from it: ret, jmp, ud2, hlt."""
    FILL = auto()
    """nop, of any length, or int3: what lies between functions."""


class Instruction(NamedTuple):
    size: int
    kind: Kind
    movable: bool
    """It does the same wherever it lies: no branch, and no address relative to itself."""


class UnknownInstructionError(Exception): ...


_MOST = 15

# What follows an opcode: a ModRM byte, and so many bytes of an immediate; 4 are 2 with a prefix for that.
_NONE, _MODRM = 0x00, 0x40
_UNKNOWN = 0xFF
_BRANCH = 0x80


def _table(*parts: tuple[str, int]) -> bytes:
    """`parts` are opcodes in hexadecimal, or ranges of them, and what follows those."""
    found = bytearray([_UNKNOWN] * 256)
    for opcodes, what in parts:
        for each in opcodes.split():
            first, _, last = each.partition("-")
            for opcode in range(int(first, 16), int(last or first, 16) + 1):
                found[opcode] = what
    return bytes(found)


_ARITHMETIC = [f"{row:x}{column}" for row in range(4) for column in ("0-{0:x}3", "8-{0:x}b")]
_ONE_BYTE = _table(
    (" ".join(each.format(int(each[0])) for each in _ARITHMETIC), _MODRM),
    ("04 0c 14 1c 24 2c 34 3c", 1),
    ("05 0d 15 1d 25 2d 35 3d", 4),
    ("50-5f 6c-6f 90-99 9b-9f a4-a7 aa-af c3 c9 cb cc cf d7 ec-ef f1 f4 f5 f8-fd", _NONE),
    ("63 84-8f d0-d3 d8-df f6 f7 fe ff", _MODRM),
    ("68 a9", 4),
    ("69 81 c7", _MODRM | 4),
    ("6a a8 b0-b7 cd e4-e7", 1),
    ("6b 80 83 c0 c1 c6", _MODRM | 1),
    ("70-7f e0-e3 eb", _BRANCH | 1),
    ("b8-bf", 4),
    ("c2 ca", 2),
    ("c8", 3),
    ("e8 e9", _BRANCH | 4),
)
_TWO_BYTE = _table(
    ("00-03 0d 10-23 28-2f 40-6f 74-76 79 7c-7f 90-9f a3 a5 ab ad-b9 bb-c1 c3 c7 d0-ff", _MODRM),
    ("05 06 08 09 0b 30-35 37 77 a0-a2 a8-aa c8-cf", _NONE),
    ("0f 70-73 a4 ac ba c2 c4-c6", _MODRM | 1),
    ("80-8f", _BRANCH | 4),
)
_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")


class _Code:
    """The bytes of one instruction, of which so many are taken."""

    def __init__(self, code: bytes | memoryview, at: int) -> None:
        self.code = code
        self.start = self.at = at

    def take(self) -> int:
        if self.at >= len(self.code) or self.at - self.start >= _MOST:
            raise UnknownInstructionError
        self.at += 1
        return self.code[self.at - 1]

    def skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.code) or self.at - self.start > _MOST:
            raise UnknownInstructionError

    def modrm(self) -> tuple[int, bool]:
        """The byte, and whether it names an address relative to the instruction."""
        byte = self.take()
        mode, place = byte >> 6, byte & 7
        if mode == 3:
            return byte, False
        base = self.take() & 7 if place == 4 else place
        if mode == 0:
            self.skip(4 if base == 5 else 0)
            return byte, place == 5
        self.skip(1 if mode == 1 else 4)
        return byte, False


def decode(code: bytes | memoryview, at: int = 0) -> Instruction:
    """The instruction at `at`. Raises UnknownInstructionError, also when the code ends within it."""
    it = _Code(code, at)
    prefixes = set()
    while (byte := it.take()) in _PREFIXES:
        prefixes.add(byte)
    rex = byte if byte >> 4 == 4 else 0
    if rex:
        byte = it.take()
    if byte in (0xC4, 0xC5, 0x62) or (byte == 0x8F and it.at < len(code) and code[it.at] & 0x38):
        if rex or prefixes & {0x66, 0xF0, 0xF2, 0xF3}:
            raise UnknownInstructionError
        return _vector(it, byte)
    if byte == 0x0F:
        return _two_byte(it, it.take(), prefixes)
    return _one_byte(it, byte, prefixes, rex)


def _one_byte(it: _Code, opcode: int, prefixes: set[int], rex: int) -> Instruction:
    wide = bool(rex & 8)
    small = 0x66 in prefixes and not wide
    if 0xA0 <= opcode <= 0xA3:  # to or from an address in full
        it.skip(4 if 0x67 in prefixes else 8)
        return Instruction(it.at - it.start, Kind.OTHER, True)
    what = _ONE_BYTE[opcode]
    if what == _UNKNOWN or (small and opcode in (0xE8, 0xE9)):  # processors differ in those
        raise UnknownInstructionError
    modrm, relative = it.modrm() if what & _MODRM else (0, False)
    size = what & 7
    group = modrm >> 3 & 7
    if opcode in (0xF6, 0xF7) and group < 2:
        size = 1 if opcode == 0xF6 else 4
    if opcode == 0xFF and group == 7:
        raise UnknownInstructionError
    if 0xB8 <= opcode <= 0xBF and wide:
        it.skip(8)
    else:
        it.skip(2 if size == 4 and small else size)
    jumps = opcode == 0xFF and group in (2, 3, 4, 5)
    kind = Kind.OTHER
    if opcode in (0xC2, 0xC3, 0xE9, 0xEB, 0xF4) or (opcode == 0xFF and group == 4):
        kind = Kind.END
    elif opcode == 0xCC or (opcode == 0x90 and not rex & 1):
        kind = Kind.FILL
    elif opcode == 0xC7 and modrm == 0xF8:  # xbegin: its immediate is where to go
        jumps = True
    return Instruction(it.at - it.start, kind, not (relative or jumps or what & _BRANCH))


def _two_byte(it: _Code, opcode: int, prefixes: set[int]) -> Instruction:
    if opcode in (0x38, 0x3A):
        it.take()
        _, relative = it.modrm()
        it.skip(opcode == 0x3A)
        return Instruction(it.at - it.start, Kind.OTHER, not relative)
    what = _TWO_BYTE[opcode]
    if what == _UNKNOWN:
        raise UnknownInstructionError
    modrm, relative = it.modrm() if what & _MODRM else (0, False)
    it.skip(2 if what & 7 == 4 and 0x66 in prefixes else what & 7)
    kind = Kind.OTHER
    if opcode == 0x05:
        kind = Kind.SYSCALL
    elif opcode == 0x0B:
        kind = Kind.END
    elif opcode == 0x1F and modrm & 0x38 == 0:
        kind = Kind.FILL
    return Instruction(it.at - it.start, kind, not (relative or what & _BRANCH))


def _vector(it: _Code, escape: int) -> Instruction:
    """Behind VEX, EVEX or XOP, which say in which map the opcode is."""
    group = 1
    if escape != 0xC5:
        group = it.take() & (0x07 if escape == 0x62 else 0x1F)
        it.skip(2 if escape == 0x62 else 1)
    else:
        it.skip(1)
    opcode = it.take()
    if (escape == 0x8F) != (group >= 8) or (escape != 0x62 and group in (0, 4, 5, 6, 7)):
        raise UnknownInstructionError
    if group == 1 and opcode == 0x77:
        return Instruction(it.at - it.start, Kind.OTHER, True)
    _, relative = it.modrm()
    has_byte = group in (3, 8) or (
        group == 1 and opcode in (*range(0x70, 0x74), 0xC2, *range(0xC4, 0xC7))
    )
    it.skip(1 if has_byte else 4 if group == 10 else 0)
    return Instruction(it.at - it.start, Kind.OTHER, not relative)

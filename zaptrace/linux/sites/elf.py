"""Of an ELF file of x86-64 what the finder of sites needs: where its code lies, and where functions begin
and end. Whatever is not there, or not as it should be, is told as nothing found: files are anybody's.
"""

from __future__ import annotations

import contextlib
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

EXECUTABLE, FUNCTION = 1, 2
LOAD, NOTE, EH_FRAME_HDR = 1, 4, 0x6474E550
RELATIVE_INT32 = 0x1B
MOST_FUNCTIONS = 1 << 20


class NotElfError(Exception): ...


_DAMAGED = (NotElfError, struct.error, IndexError, OverflowError, ValueError)
"""What comes of numbers that lead nowhere."""


@dataclass(frozen=True)
class Segment:
    """A part of the file that is mapped: `size` bytes from `offset`, at `address`."""

    kind: int
    flags: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True)
class Elf:
    data: memoryview
    segments: list[Segment]
    sections: dict[str, Segment] = field(default_factory=dict)

    def code(self) -> list[Segment]:
        return [s for s in self.segments if s.kind == LOAD and s.flags & EXECUTABLE]

    def at(self, address: int) -> memoryview:
        """What the file has from an address on, to the end of the segment. Raises NotElfError."""
        for segment in self.segments:
            if segment.kind == LOAD and 0 <= address - segment.address < segment.size:
                start = segment.offset + address - segment.address
                return self.data[start : segment.offset + segment.size]
        raise NotElfError("an address outside of what is mapped")

    def build_id(self) -> bytes | None:
        """The linker's (.note.gnu.build-id)."""
        with contextlib.suppress(*_DAMAGED):
            return self._build_id()
        return None

    def _build_id(self) -> bytes | None:
        for segment in self.segments:
            if segment.kind != NOTE:
                continue
            notes = self.data[segment.offset : segment.offset + segment.size]
            at = 0
            while at + 12 <= len(notes):
                name_size, size, kind = struct.unpack_from("<III", notes, at)
                name = bytes(notes[at + 12 : at + 12 + name_size])
                at += 12 + (name_size + 3 & ~3)
                if kind == 3 and name == b"GNU\0":
                    return bytes(notes[at : at + size]) or None
                at += size + 3 & ~3
        return None

    def functions(self) -> list[tuple[int, int]]:
        """First and last + 1 address of each that is known of, in their order, none within another.

        By the tables for unwinding; elsewhere by symbols, and in Go's programs by Go's own table.
        """
        found: list[tuple[int, int]] = []
        for each in (_unwound, _named, _of_go):
            try:
                found = _with(found, sorted(set(each(self))))
            except _DAMAGED:
                continue
        return found


def _with(known: list[tuple[int, int]], more: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that are known, and of the others those that lie where none of them does."""
    if not more or not known:
        known, more = [], known or more
    starts = [start for start, _ in known]
    added: list[tuple[int, int]] = []
    for start, end in more:
        place = bisect_right(starts, start)
        before = known[place - 1][1] if place else 0
        after = known[place][0] if place < len(known) else 1 << 64
        if start < end <= after and start >= max(before, added[-1][1] if added else 0):
            added.append((start, end))
    return sorted(known + added)


def parse(data: bytes | memoryview) -> Elf:
    """Raises NotElfError."""
    view = memoryview(data)
    try:
        return _parse(view)
    except _DAMAGED as error:
        raise NotElfError(str(error)) from error


def _parse(view: memoryview) -> Elf:
    if bytes(view[:6]) != b"\x7fELF\x02\x01":
        raise NotElfError("no ELF file of 64 bits")
    (machine,) = struct.unpack_from("<H", view, 18)
    if machine != 62:  # EM_X86_64
        raise NotElfError("of another processor")
    at, sections_at = struct.unpack_from("<QQ", view, 32)
    size, count, section_size, sections, names = struct.unpack_from("<HHHHH", view, 54)
    segments = []
    for i in range(count):
        kind, flags, offset, address, _, in_file = struct.unpack_from(
            "<IIQQQQ", view, at + i * size
        )
        in_file = max(0, min(in_file, len(view) - offset))
        segments.append(Segment(kind, flags, offset, address, in_file))
    elf = Elf(view, segments)
    try:
        elf.sections.update(_sections(view, sections_at, section_size, sections, names))
    except _DAMAGED:  # only what is mapped has to be right
        elf.sections.clear()
    return elf


def _sections(
    view: memoryview, at: int, size: int, count: int, names: int
) -> Iterator[tuple[str, Segment]]:
    headers = [struct.unpack_from("<IIQQQQ", view, at + i * size) for i in range(count)]
    for name, kind, flags, address, offset, length in headers:
        start = headers[names][4] + name
        end = bytes(view[start : start + 64]).find(b"\0")
        in_file = 0 if kind == 8 else max(0, min(length, len(view) - offset))  # SHT_NOBITS
        text = bytes(view[start : start + max(end, 0)]).decode("latin-1")
        yield text, Segment(kind, flags, offset, address, in_file)


# -- by .eh_frame ----------------------------------------------------------------------------------


def _unwound(elf: Elf) -> Iterator[tuple[int, int]]:
    section = elf.sections.get(".eh_frame")
    if section and section.address:
        base = section.address
    else:
        header = next((s for s in elf.segments if s.kind == EH_FRAME_HDR), None)
        if not header:
            return
        frame = elf.at(header.address)
        base, _ = _pointer(frame, 4, header.address + 4, frame[1], header.address)
    view = elf.at(base)
    at = 0
    encodings: dict[int, int] = {}
    word, two_words = struct.Struct("<I").unpack_from, struct.Struct("<iI").unpack_from
    for _ in range(MOST_FUNCTIONS):
        if at + 4 > len(view):
            return
        (length,) = word(view, at)
        if length in (0, 0xFFFF_FFFF):  # the end; of more than 4 GiB there are none
            return
        (back,) = word(view, at + 4)
        if back:
            cie = at + 4 - back
            if cie not in encodings:
                encodings[cie] = _encoding(view, cie)
            encoding = encodings[cie]
            if (
                encoding == RELATIVE_INT32
            ):  # as all compilers write it: programs have many thousands
                offset, size = two_words(view, at + 8)
                yield base + at + 8 + offset, base + at + 8 + offset + size
            else:
                start, after = _pointer(view, at + 8, base + at + 8, encoding, 0)
                size, _ = _pointer(view, after, 0, encoding & 0x0F, 0)
                yield start, start + size
        at += 4 + length


def _encoding(view: memoryview, cie: int) -> int:
    """How the addresses of a CIE's functions are written."""
    if struct.unpack_from("<I", view, cie + 4)[0] or view[cie + 8] not in (1, 3):
        raise NotElfError("no CIE")
    end = bytes(view[cie + 9 : cie + 41]).index(0) + cie + 9
    augmentation = bytes(view[cie + 9 : end])
    at = _skip_leb(view, _skip_leb(view, end + 1))
    at = at + 1 if view[cie + 8] == 1 else _skip_leb(view, at)  # the register of the return address
    if not augmentation.startswith(b"z"):
        return 0
    at = _skip_leb(view, at)
    for letter in augmentation[1:]:
        if letter == ord("R"):
            return view[at]
        if letter == ord("P"):
            _, at = _pointer(view, at + 1, 0, view[at] & 0x0F, 0)
        elif letter == ord("L"):
            at += 1
        elif letter not in b"SB":
            raise NotElfError("an augmentation that nobody knows")
    return 0


def _skip_leb(view: memoryview, at: int) -> int:
    while view[at] & 0x80:
        at += 1
    return at + 1


_FORMS = {0: "<Q", 2: "<H", 3: "<I", 4: "<Q", 10: "<h", 11: "<i", 12: "<q"}


def _pointer(view: memoryview, at: int, place: int, encoding: int, data: int) -> tuple[int, int]:
    """A value of .eh_frame, written at `at`, which is the address `place`; and what comes after it."""
    form = _FORMS.get(encoding & 0x0F)
    if form is None or encoding & 0x70 not in (0, 0x10, 0x30) or encoding & 0x80:
        raise NotElfError("an encoding that nobody uses")
    (value,) = struct.unpack_from(form, view, at)
    base = {0: 0, 0x10: place, 0x30: data}[encoding & 0x70]
    return (value + base) & (1 << 64) - 1, at + struct.calcsize(form)


# -- by symbols ------------------------------------------------------------------------------------


def _named(elf: Elf) -> Iterator[tuple[int, int]]:
    """Of those that have one address the longest."""
    found: dict[int, int] = {}
    for name in (".symtab", ".dynsym"):
        section = elf.sections.get(name)
        if not section:
            continue
        symbols = elf.data[section.offset : section.offset + section.size]
        whole = len(symbols) // 24 * 24
        for _, info, _, index, address, size in struct.iter_unpack("<IBBHQQ", symbols[:whole]):
            if info & 0x0F == FUNCTION and index and size:
                found[address] = max(found.get(address, 0), size)
    yield from ((address, address + size) for address, size in found.items())


# -- by Go's table (runtime/symtab.go, pcHeader) ----------------------------------------------------


def _of_go(elf: Elf) -> Iterator[tuple[int, int]]:
    section = elf.sections.get(".gopclntab") or elf.sections.get(".data.rel.ro.gopclntab")
    text = elf.sections.get(".text")
    if not section or not text:
        return
    table = elf.data[section.offset : section.offset + section.size]
    magic, word = struct.unpack_from("<I3xB", table, 0)
    if magic not in (0xFFFF_FFF0, 0xFFFF_FFF1) or word != 8:  # Go 1.18 and newer
        return
    count, _, start, _, _, _, _, at = struct.unpack_from("<8Q", table, 8)
    if count > MOST_FUNCTIONS:
        return
    entries = struct.unpack_from(f"<{2 * count + 1}I", table, at)[::2]
    base = start or text.address
    yield from ((base + a, base + b) for a, b in pairwise(entries))

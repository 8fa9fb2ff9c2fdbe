"""An ELF shared object as a C library's loader looks at it: segments, symbols, hash tables."""

from __future__ import annotations

import struct

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_TLS = 1, 2, 3, 7
DT_NULL, DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_SONAME = 0, 1, 4, 5, 6, 14
DT_GNU_HASH, DT_VERSYM, DT_VERDEF, DT_VERDEFNUM = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD


class Elf:
    """As much of ELF as a loader reads: never the section headers."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        assert image[:6] == b"\x7fELF\x02\x01"
        self.type, self.machine = struct.unpack_from("<HH", image, 16)
        phoff, phentsize, phnum = *struct.unpack_from("<Q", image, 32), *self._at("<HH", 54)
        # type, flags, offset, vaddr, paddr, filesz, memsz, align
        self.segments = [self._at("<IIQQQQQQ", phoff + n * phentsize) for n in range(phnum)]
        (dynamic,) = (s for s in self.segments if s[0] == PT_DYNAMIC)
        self.dynamic = {}
        for at in range(dynamic[2], dynamic[2] + dynamic[5], 16):
            tag, value = self._at("<QQ", at)
            if tag == DT_NULL:
                break
            self.dynamic[tag] = value

    def _at(self, form: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(form, self.image, offset)

    def string(self, offset: int) -> str:
        start = self.dynamic[DT_STRTAB] + offset
        return self.image[start : self.image.index(b"\0", start)].decode()

    def symbol(self, index: int) -> tuple[str, int, int, int, int, int]:
        """name, info, other, section, value, size"""
        name, *rest = self._at("<IBBHQQ", self.dynamic[DT_SYMTAB] + 24 * index)
        return self.string(name), *rest

    def version(self, index: int) -> str:
        """The name of the version that symbol `index` has."""
        (wanted,) = self._at("<H", self.dynamic[DT_VERSYM] + 2 * index)
        at = self.dynamic[DT_VERDEF]
        for _ in range(self.dynamic[DT_VERDEFNUM]):
            _, _, number, _, hash_, aux, following = self._at("<HHHHIII", at)
            name = self.string(self._at("<I", at + aux)[0])
            if number == wanted & 0x7FFF:
                assert hash_ == sysv_hash(name)
                return name
            at += following
        raise AssertionError(f"symbol {index} has version {wanted}, which is not defined")

    def find_sysv(self, name: str) -> int | None:
        table = self.dynamic[DT_HASH]
        buckets, _ = self._at("<II", table)
        (index,) = self._at("<I", table + 8 + 4 * (sysv_hash(name) % buckets))
        while index:
            if self.symbol(index)[0] == name:
                return index
            (index,) = self._at("<I", table + 8 + 4 * (buckets + index))
        return None

    def find_gnu(self, name: str) -> int | None:
        table = self.dynamic[DT_GNU_HASH]
        buckets, first, bloom_words, shift = self._at("<IIII", table)
        hash_ = gnu_hash(name)
        (word,) = self._at("<Q", table + 16 + 8 * (hash_ // 64 % bloom_words))
        if not (word >> hash_ % 64 & 1 and word >> (hash_ >> shift) % 64 & 1):
            return None
        starts = table + 16 + 8 * bloom_words
        (index,) = self._at("<I", starts + 4 * (hash_ % buckets))
        if not index:
            return None
        while True:
            (chained,) = self._at("<I", starts + 4 * (buckets + index - first))
            if chained | 1 == hash_ | 1 and self.symbol(index)[0] == name:
                return index
            if chained & 1:
                return None
            index += 1


def sysv_hash(name: str) -> int:
    result = 0
    for byte in name.encode():
        result = (result << 4) + byte
        result = (result ^ result >> 24 & 0xF0) & 0x0FFF_FFFF
    return result


def gnu_hash(name: str) -> int:
    result = 5381
    for byte in name.encode():
        result = (result * 33 + byte) & 0xFFFF_FFFF
    return result


# -- the image -------------------------------------------------------------------------------------

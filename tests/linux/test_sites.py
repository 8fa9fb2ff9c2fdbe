"""Sites that the finder tells are where objdump sees them, and a pad is where nobody comes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zaptrace.linux.sites import elf, finder, instructions, known
from zaptrace.linux.sites.finder import Shape, Site
from zaptrace.linux.sites.instructions import Instruction, Kind, UnknownInstructionError

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
OFTEN_THERE = (
    LIBC,
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-musl-x86_64.so.1",
    "/bin/busybox",
)
FILES = [str(path) for path in OFTEN_THERE if path and os.path.exists(path)]

STATIC = r"""
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	int status;
	printf("%d %ld\n", getpid(), syscall(SYS_gettid));
	return fork() ? waitpid(-1, &status, 0) < 0 : kill(getppid(), 0);
}
"""


# -- what objdump says -----------------------------------------------------------------------------


@cache
def disassembled(path: str) -> list[tuple[int, int, str]]:
    """Address, size and text of every instruction, but the last of each section."""
    command = ["objdump", "-d", "-w", "-z", "--no-show-raw-insn", path]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [
        (int(m[1], 16), m[2]) for m in re.finditer(r"^ *([0-9a-f]+):\t(.*)", said, re.MULTILINE)
    ]
    sizes = [after - address for (address, _), (after, _) in pairwise(lines)]
    return [(at, size, text) for (at, text), size in zip(lines, sizes, strict=False) if size <= 15]


def is_code(text: str) -> bool:
    """Not data that lies in between, nor what objdump takes for one instruction and is two."""
    return not re.match(r"\(bad\)|\.byte|rex|f(st(cw|sw|env)|save|clex|init)\b|[c-gs]s( |$)", text)


def targets(path: str) -> set[int]:
    """Wherever a branch goes that says so itself."""
    found = set()
    for _, _, text in disassembled(path):
        match = re.match(
            r"(?:bnd )?(?:j\w+|call\w*|loop\w*|xbegin)(?:,p[nt])?\s+(?:0x)?([0-9a-f]+)\b", text
        )
        if match:
            found.add(int(match[1], 16))
    return found


def parsed(path: str) -> elf.Elf:
    return elf.parse(Path(path).read_bytes())


@cache
def sites(path: str) -> list[Site]:
    return finder.find(Path(path).read_bytes())


def address_of(file: elf.Elf, offset: int) -> int:
    (it,) = [s for s in file.code() if 0 <= offset - s.offset < s.size]
    return offset - it.offset + it.address


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("static")
    (place / "static.c").write_text(STATIC)
    subprocess.run(["cc", "-O2", "-static", "-o", place / "static", place / "static.c"], check=True)
    return str(place / "static")


@pytest.fixture(params=[*FILES, "static"])
def path(request: pytest.FixtureRequest) -> str:
    if request.param == "static":
        return str(request.getfixturevalue("static"))
    return str(request.param)


# -- instructions ----------------------------------------------------------------------------------


def test_instructions_are_as_long_as_objdump_says(path: str):
    """One of every seven: a run over all of these files, libm and libcrypto told the same."""
    file, wrong, seen = parsed(path), [], 0
    for address, size, text in disassembled(path)[::7]:
        if is_code(text):
            seen += 1
            try:
                got = instructions.decode(bytes(file.at(address)[:16])).size
            except UnknownInstructionError:
                got = 0
            if got != size:
                wrong.append(f"{address:#x} {text}: {got}, not {size}")
    assert seen > 1000
    assert not wrong


OTHER = Kind.OTHER
MOVED = [
    ("b8 27 00 00 00", 5, OTHER, True),  # mov $39, %eax
    ("48 b8 01 02 03 04 05 06 07 08", 10, OTHER, True),
    ("66 b8 01 02", 4, OTHER, True),
    ("a1 01 02 03 04 05 06 07 08", 9, OTHER, True),
    ("0f 05", 2, Kind.SYSCALL, True),
    ("c3", 1, Kind.END, True),
    ("e9 00 00 00 00", 5, Kind.END, False),
    ("ff 25 00 00 00 00", 6, Kind.END, False),  # jmp *0(%rip)
    ("ff e0", 2, Kind.END, False),
    ("e8 00 00 00 00", 5, OTHER, False),
    ("ff 15 00 00 00 00", 6, OTHER, False),
    ("0f 84 00 00 00 00", 6, OTHER, False),
    ("48 8b 05 00 00 00 00", 7, OTHER, False),  # mov 0(%rip), %rax
    ("48 8b 04 25 00 00 00 00", 8, OTHER, True),  # mov 0, %rax
    ("64 8b 04 25 10 00 00 00", 8, OTHER, True),
    ("4c 89 5c 24 08", 5, OTHER, True),  # mov %r11, 8(%rsp)
    ("c5 fe 6f 05 00 00 00 00", 8, OTHER, False),  # vmovdqu 0(%rip), %ymm0
    ("c4 e3 7d 39 c1 01", 6, OTHER, True),
    ("62 f1 7c 48 10 44 24 01", 8, OTHER, True),
    ("c7 f8 00 00 00 00", 6, OTHER, False),  # xbegin
    ("f6 c2 01", 3, OTHER, True),
    ("f6 d2", 2, OTHER, True),
    ("66 2e 0f 1f 84 00 00 00 00 00", 10, Kind.FILL, True),
    ("66 90", 2, Kind.FILL, True),
    ("41 90", 2, OTHER, True),  # xchg %r8d, %eax
    ("f3 0f 1e fa", 4, OTHER, True),  # endbr64: somebody comes here
    ("cc", 1, Kind.FILL, True),
    ("0f 0b", 2, Kind.END, True),
    ("f4", 1, Kind.END, True),
]


@pytest.mark.parametrize(("text", "size", "kind", "movable"), MOVED, ids=[m[0] for m in MOVED])
def test_what_is_told_of_an_instruction(text: str, size: int, kind: Kind, movable: bool):
    told = instructions.decode(bytes.fromhex(text) + b"\x90" * 8)
    assert told == Instruction(size, kind, movable)


UNTOLD = (
    "06",
    "66 e9 00 00 00 00",
    "d5 00",
    "0f 04",
    "0f 78 00",
    "2e" * 16,
    "48 c5 f8 77",
    "b8 01",
    "",
)


@pytest.mark.parametrize("text", UNTOLD)
def test_what_is_not_told(text: str):
    with pytest.raises(UnknownInstructionError):
        instructions.decode(bytes.fromhex(text))


@given(st.binary(min_size=1, max_size=20))
@settings(max_examples=300)
def test_whatever_it_is_has_an_end(code: bytes):
    try:
        told = instructions.decode(code)
    except UnknownInstructionError:
        return
    assert 1 <= told.size <= min(15, len(code))
    assert instructions.decode(code + b"\xff") == told


# -- sites -----------------------------------------------------------------------------------------


def test_sites_are_where_objdump_sees_them(path: str):
    """All that are told, and nearly all that there are; musl's linker has code that no table names."""
    file = parsed(path)
    told = {address_of(file, site.at) for site in sites(path)}
    there = {address for address, _, text in disassembled(path) if text.startswith("syscall")}
    assert told <= there
    assert len(told) >= (0.7 if "musl" in path else 0.97) * len(there)


def test_what_is_replaced_is_one_instruction(path: str):
    """With nobody's way into its middle, nor to where a pad is; and each has its own."""
    file, by_address = parsed(path), {a: (size, text) for a, size, text in disassembled(path)}
    reached = targets(path)
    taken: set[int] = set()
    shapes = [site.shape for site in sites(path)]
    for site in sites(path):
        at = address_of(file, site.at)
        if site.shape in (Shape.A, Shape.A3):
            before = at - site.displaced
            size, text = by_address[before]
            assert size == site.displaced >= 5
            assert not reached & set(range(before + 1, at))
            assert "rip" not in text and not text.startswith(("j", "call", "ret"))
        if site.nr is not None:
            assert re.match(rf"mov +\$0x{site.nr:x},%eax", by_address[at - 5][1])
        if site.shape is Shape.E:
            assert site.pad is not None
            pad = address_of(file, site.pad)
            place = set(range(pad, pad + finder.JUMP_SIZE))
            assert -128 <= pad - (at + 2) <= 127
            assert not place & taken
            assert not place & reached
            taken |= place
    if len(shapes) > 20:
        most = 0.7 if "musl" in path else 0.85
        assert sum(s is not Shape.NONE for s in shapes) >= most * len(shapes)


def test_a_pad_is_filled_up_and_behind_a_way_out(path: str):
    file, whole = parsed(path), disassembled(path)
    addresses = [address for address, _, _ in whole]
    fill = re.compile(r"(data16 |cs |[c-gs]s )*(nop[wl]?|int3|xchg +%ax,%ax)\b")
    way_out = re.compile(r"(repz |bnd |notrack )*(ret|jmp|hlt|ud2)")
    starts = {start for start, _ in file.functions()}
    for site in sites(path):
        if site.pad is None:
            continue
        pad = address_of(file, site.pad)
        assert not starts & set(range(pad, pad + finder.JUMP_SIZE))
        place = bisect_right(addresses, pad) - 1
        after = place
        while addresses[after] < pad + finder.JUMP_SIZE:
            assert fill.match(whole[after][2]), whole[after]
            after += 1
        while fill.match(whole[place][2]):
            place -= 1
        assert way_out.match(whole[place][2]), whole[place]


@pytest.mark.parametrize("go", [path for path in [shutil.which("go")] if path])
def test_go_programs_tell_of_their_functions_themselves(go: str):
    """By a table of Go's; between two there is int3."""
    data = Path(go).read_bytes()
    found = sites(go)
    assert len(found) > 20
    assert all(data[site.at : site.at + 2] == finder.SYSCALL for site in found)
    pads = [site.pad for site in found if site.pad is not None]
    assert len(pads) >= 0.9 * len(found)
    assert all(data[pad : pad + finder.JUMP_SIZE] == b"\xcc" * finder.JUMP_SIZE for pad in pads)


def test_what_matters_most_has_a_shape():
    """In the C library of this host: who one is, signals, children, clocks."""
    shaped = {site.nr for site in sites(LIBC) if site.shape is not Shape.NONE}
    assert shaped >= {39, 186, 110, 62, 234, 61, 247, 56, 228}


# -- pads for as many as there can be --------------------------------------------------------------


def possible(wanted: tuple[int, ...], slots: list[int]) -> bool:
    """Hall's condition, by trying."""
    if not wanted:
        return True
    first, rest = wanted[0], wanted[1:]
    return any(
        -128 <= slot - (first + 2) <= 127 and possible(rest, [s for s in slots if s != slot])
        for slot in slots
    )


@given(
    places=st.sets(st.integers(0, 400), max_size=5),
    slots=st.sets(st.integers(-150, 600), max_size=5),
)
def test_as_many_get_a_pad_as_can(places: set[int], slots: set[int]):
    given_ = finder.assign(sorted(places), sorted(slots))
    assert set(given_) <= places and set(given_.values()) <= slots
    assert len(set(given_.values())) == len(given_)
    assert all(-128 <= slot - (site + 2) <= 127 for site, slot in given_.items())
    more = combinations(sorted(places), len(given_) + 1)
    assert not any(possible(wanted, sorted(slots)) for wanted in more)


# -- files that are not what they should be --------------------------------------------------------


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of a page or two with one site."""
    place = tmp_path_factory.mktemp("small")
    (place / "s.c").write_text(
        'long f(long n) { __asm__ volatile("syscall" : "+a"(n)); return n; }\n'
    )
    subprocess.run(
        ["cc", "-O2", "-shared", "-nostdlib", "-o", place / "s.so", place / "s.c"], check=True
    )
    return place / "s.so"


@pytest.fixture
def small(small_file: Path) -> bytes:
    return small_file.read_bytes()


@given(data=st.data())
@settings(max_examples=150)
def test_a_damaged_file_is_no_matter(small_file: Path, data: st.DataObject):
    small = small_file.read_bytes()
    assert len(finder.find(small)) == 1
    damaged = bytearray(small)
    headers = st.one_of(st.integers(0, 1023), st.integers(0, len(small) - 1))
    for at in data.draw(st.lists(headers, min_size=1, max_size=6)):
        damaged[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    cut = data.draw(st.integers(0, len(small)))
    for some in (bytes(damaged), bytes(damaged[:cut])):
        for site in finder.find(some):
            assert 0 <= site.at < len(some)
            assert some[site.at : site.at + 2] == b"\x0f\x05"


def test_what_is_no_program_has_none():
    for data in (b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100)):
        assert finder.find(data) == []


# -- what is kept ----------------------------------------------------------------------------------


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How large the files were that were looked through."""
    sizes: list[int] = []

    def find(data: memoryview) -> list[Site]:
        sizes.append(len(data))
        return finder.find(data)

    monkeypatch.setattr(known, "find", find)
    yield sizes


def test_a_file_is_looked_through_once(small: bytes, tmp_path: Path, looked: list[int]):
    (tmp_path / "one.so").write_bytes(small)
    (tmp_path / "other.so").write_bytes(small + b"\0")
    kept = tmp_path / "cache" / "sites"
    first = known.sites_of(tmp_path / "one.so", kept)
    assert first == finder.find(small)
    assert known.sites_of(tmp_path / "one.so", kept) == first
    assert looked == [len(small)]
    assert known.sites_of(tmp_path / "other.so", kept) == first
    assert known.sites_of(tmp_path / "one.so", None) == first
    assert looked == [len(small), len(small) + 1, len(small)]
    assert kept.stat().st_mode & 0o777 == 0o700
    assert len(list(kept.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x90", b"\x91\x95\xff\xa1e\xc0\xc0\x00"])
def test_what_was_kept_and_is_damaged_is_found_again(
    small: bytes, tmp_path: Path, looked: list[int], damage: bytes
):
    (tmp_path / "one.so").write_bytes(small)
    whole = known.sites_of(tmp_path / "one.so", tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(damage)
    if damage == b"\x90":
        assert known.sites_of(tmp_path / "one.so", tmp_path / "kept") == []
        return  # an empty list is a word of ours
    assert known.sites_of(tmp_path / "one.so", tmp_path / "kept") == whole
    assert looked == [len(small)] * 2


def test_what_cannot_be_kept_is_found_all_the_same(small: bytes, tmp_path: Path):
    (tmp_path / "one.so").write_bytes(small)
    (tmp_path / "file").write_text("no directory")
    assert known.sites_of(tmp_path / "one.so", tmp_path / "file") == finder.find(small)
    with pytest.raises(OSError):
        known.sites_of(tmp_path / "missing.so", tmp_path / "kept")


def test_only_so_many_are_kept(small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(known, "MOST_KEPT", 3)
    for n in range(6):
        (tmp_path / "one.so").write_bytes(small + bytes(n))
        known.sites_of(tmp_path / "one.so", tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 3

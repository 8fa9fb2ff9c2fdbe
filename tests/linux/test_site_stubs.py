"""Code that serves calls in the process does so: in the C library of this host, patched natively, and in a
static program; with no tracer, so that what it does not want is the kernel's own."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.supervisors import PATIENCE_S
from zaptrace.linux.sites import finder, ids, stubs
from zaptrace.linux.sites.finder import Shape, Site

LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")
PROGRAM = Path(__file__).parent / "served.c"

FAST, SLOW = 0x7E91_0000_0000, 0x7E91_0010_0000
R2V, V2R, OWN = 0x7E92_0000_0000, 0x7E93_0000_0000, 0x7E94_0000_0000
MAP_CODE, MAP_TABLE, MAP_OWN, WRITE_TEXT = range(4)
VIRTUAL = 4242


def record(at: int, kind: int, data: bytes) -> bytes:
    return struct.pack("<QQQ", at, len(data), kind) + data


def highest_number() -> int:
    return int(Path("/proc/sys/kernel/pid_max").read_text())


def as_shape_a(found: Site) -> Site:
    """Where it can be: most have a pad as well, and are told to be of shape e."""
    if found.nr is None:
        return found
    return Site(found.at, Shape.A, found.nr, displaced=finder.JUMP_SIZE)


def composed(file: Path, base: int, near: int, *, prefer_a: bool) -> tuple[list[bytes], set[Shape]]:
    """Records for a process in which `file` lies at `base`, and of which shapes sites were patched."""
    data = file.read_bytes()
    memory = stubs.Memory(R2V, V2R, highest_number(), OWN)
    hops, fast, slow = bytearray(), bytearray(), bytearray()
    written: list[bytes] = []
    shapes = set()
    for found in finder.find(data):
        if not stubs.is_wanted(found):
            continue
        found = as_shape_a(found) if prefer_a else found
        shapes.add(found.shape)
        site = base + address(data, found)
        code = stubs.piece(found, site, data, SLOW + len(slow), memory)
        for patch in stubs.patches(found, site, data, near + len(hops)):
            written.append(record(patch.at, WRITE_TEXT, patch.after))
        hops += stubs.hop(FAST + len(fast))
        fast += code.ljust(-(-len(code) // 16) * 16, b"\xcc")
        slow += stubs.slow_piece(site).ljust(16, b"\xcc")
    code = [record(near, MAP_CODE, bytes(hops)), record(FAST, MAP_CODE, bytes(fast))]
    return [*code, record(SLOW, MAP_CODE, bytes(slow) or b"\xcc"), *written], shapes


def address(data: bytes, found: Site) -> int:
    (it,) = [s for s in finder.parse(data).code() if 0 <= found.at - s.offset < s.size]
    return found.at - it.offset + it.address


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same, with the C library of its own and with this host's."""
    place = tmp_path_factory.mktemp("served")
    ways = {"static": ["-static", "-no-pie"], "dynamic": []}
    for name, how in ways.items():
        command = ["cc", "-O1", "-Wall", "-pthread", *how, "-o", place / name, PROGRAM]
        subprocess.run(command, check=True)
    return {name: place / name for name in ways}


@pytest.mark.parametrize(
    ("kind", "prefer_a", "virtual"),
    [
        ("static", False, VIRTUAL),
        ("dynamic", False, VIRTUAL),
        ("dynamic", True, VIRTUAL),
        ("dynamic", True, 0),
    ],
)
def test_served_in_the_process(
    programs: dict[str, Path], tmp_path: Path, kind: str, prefer_a: bool, virtual: int
):
    """By a pad wherever there is one, and by the instruction before the call wherever that is known."""
    command = [programs[kind], str(virtual), f"{OWN:x}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as it:
        assert it.stdin and it.stdout
        try:
            base, real, parent = it.stdout.readline().split()
            at = int(base, 16)
            pairs = {int(real): virtual or int(real), int(parent): 1}
            for name, table in (
                ("r2v", ids.to_virtual(pairs, highest_number())),
                ("v2r", ids.to_real(pairs, pairs, highest_number())),
            ):
                (tmp_path / name).write_bytes(table)
            file = LIBC if kind == "dynamic" else programs[kind]
            near = at - (64 << 20) if at else 0x1000_0000
            records, shapes = composed(file, at, near, prefer_a=prefer_a)
            it.stdin.write(record(OWN, MAP_OWN, bytes(4096)))
            it.stdin.write(record(R2V, MAP_TABLE, os.fsencode(tmp_path / "r2v") + b"\0"))
            it.stdin.write(record(V2R, MAP_TABLE, os.fsencode(tmp_path / "v2r") + b"\0"))
            it.stdin.write(b"".join(records) + bytes(24))
            said, _ = it.communicate(timeout=PATIENCE_S)
        except BaseException:
            os.killpg(it.pid, signal.SIGKILL)  # it has children
            raise
    assert shapes >= {Shape.E, Shape.A}
    assert said == b"PASS\n"
    assert it.returncode == 0


def test_nothing_is_served_that_waits():
    """A thread is to be brought out of it by single steps."""
    waits = {35, 61, 202, 230, 232, 247, 271, 281}
    assert not set(stubs.SERVED) & waits


# -- tables ----------------------------------------------------------------------------------------

MOST = 12
PAIRS = st.permutations(range(1, MOST)).flatmap(
    lambda virtual: st.sets(st.integers(1, MOST - 1)).map(
        lambda reals: {real: virtual[real - 1] for real in reals}
    )
)


@given(PAIRS)
def test_every_number_has_one_of_its_own(pairs: dict[int, int]):
    moved = ids.total(pairs, MOST)
    whole = [moved.get(real, real) for real in range(MOST)]
    assert sorted(whole) == list(range(MOST))
    assert all(whole[real] == virtual for real, virtual in pairs.items())
    assert len(moved) <= 2 * len(pairs)
    r2v = struct.unpack(f"<{MOST}i", ids.to_virtual(pairs, MOST))
    v2r = struct.unpack(f"<{MOST}i", ids.to_real(pairs, pairs, MOST))
    assert [*r2v] == whole
    assert {real: virtual for virtual, real in enumerate(v2r) if real} == pairs


@pytest.mark.parametrize("pairs", [{1: 5, 2: 5}, {0: 3}, {3: 0}, {MOST: 1}, {1: MOST}, {-1: 2}])
def test_what_are_no_pairs(pairs: dict[int, int]):
    with pytest.raises(ValueError):
        ids.total(pairs, MOST)

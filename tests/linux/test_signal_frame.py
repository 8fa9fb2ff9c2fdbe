"""Registers in signal frames: found on a real stack, and converted from one layout into another."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from linux.test_xstate import AMD, AMX, AVX, INTEL, KEYS, made

from harness.world import REAL, compiled
from zaptrace.errors import HostError
from zaptrace.linux import cpu
from zaptrace.linux.signal_frame import converted
from zaptrace.linux.xstate import Layout

AT = 0x7FFC_0000_1000


def frame(layout: Layout, values: dict[int, bytes], size: int = 0) -> bytes:
    """As the kernel writes it: a state, what it says of itself, and the mark behind it."""
    size = size or layout.size
    state = bytearray(made(layout, values)[:size])
    saved = 3 | sum(1 << n for n, (at, length) in layout.where.items() if at + length <= size)
    struct.pack_into("<IIQI", state, 464, 0x46505853, size + 4, saved, size)
    state[484:512] = bytes(28)
    return bytes(state) + struct.pack("<I", 0x46505845)


def around(inner: bytes) -> bytes:
    return b"\xa5" * 128 + inner + b"\x5a" * 300


@pytest.mark.parametrize(
    ("source", "host", "size"),
    [(INTEL, AVX, 0), (INTEL, AMD, 0), (AMX, INTEL, 2696), (AMX, AVX, 2696)],
)
def test_it_is_as_the_host_would_have_written_it(source: Layout, host: Layout, size: int):
    values = {2: b"\x11" * 256, 9: KEYS}
    wanted = {n: value for n, value in values.items() if n in host.where}
    found = list(converted(around(frame(source, values, size)), AT, source, host))
    assert found == [(AT + 128, frame(host, wanted))]


def test_where_there_is_no_room_it_has_what_fits():
    """What the smaller frame held lies at the same places, and the kernel takes less for less."""
    values = {2: b"\x11" * 256}
    [(at, changed)] = converted(around(frame(AVX, values)), AT, AVX, INTEL)
    assert at == AT + 128 and len(changed) == len(frame(AVX, values))
    assert changed[512:-4] == frame(AVX, values)[512:-4]


@pytest.mark.parametrize(
    ("source", "host", "values"),
    [(INTEL, AVX, {7: b"\1"}), (AMD, INTEL, {7: b"\1" * 1024, 9: KEYS})],
)
def test_what_the_host_has_no_place_for_is_refused(source: Layout, host: Layout, values):
    with pytest.raises(HostError):
        list(converted(around(frame(source, values)), AT, source, host))


@pytest.mark.parametrize("moved", [8, 32])
def test_what_is_no_frame_stays(moved: int):
    inner = frame(INTEL, {})
    assert not list(converted(b"\0" * moved + inner, AT, INTEL, AVX))
    assert not list(converted(inner[:-4] + b"\0\0\0\0", AT, INTEL, AVX))
    assert not list(converted(inner[:-1], AT, INTEL, AVX))
    assert not list(converted(inner, AT, INTEL, INTEL))


def test_a_real_one_is_found():
    """On the stack of a handler of this very host, whatever layout it has."""
    if not cpu.layout().where:
        pytest.skip("this processor has no XSAVE")
    program: Path = compiled(REAL / "handler_stack.c")
    done = subprocess.run([program], capture_output=True, check=True, timeout=60)
    (address,) = struct.unpack_from("<Q", done.stdout)
    source = cpu.layout()
    found = list(
        converted(done.stdout[8:], address, source, Layout(source.size + 64, source.where))
    )
    assert len(found) == 1
    [(_, changed)] = found
    assert changed[160 : 160 + 16] == b"\x77" * 16  # xmm0, as it was when the signal came

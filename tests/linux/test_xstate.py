"""Register state from one processor's layout into another's, with made-up ones."""

from __future__ import annotations

import struct

import pytest

from zaptrace.errors import BadImage, HostError
from zaptrace.linux.xstate import LEGACY_SIZE, Layout, convert

PLAIN = Layout(LEGACY_SIZE, {})
AVX = Layout(832, {2: (576, 256)})
INTEL = Layout(
    2696,
    {2: (576, 256), 5: (1088, 64), 6: (1152, 512), 7: (1664, 1024), 9: (2688, 8)},
)
AMD = Layout(2440, {2: (576, 256), 5: (832, 64), 6: (896, 512), 7: (1408, 1024), 9: (2432, 8)})
AMX = Layout(11008, {**INTEL.where, 17: (2752, 64), 18: (2816, 8192)})
LAYOUTS = [PLAIN, AVX, INTEL, AMD, AMX]
KEYS = struct.pack("<Q", 0x55555554)


def made(layout: Layout, values: dict[int, bytes]) -> bytes:
    """The state of a thread that uses x87, SSE, and the components of `values`."""
    state = bytearray(layout.size)
    state[:464] = bytes(i % 251 for i in range(464))
    if layout.where:
        enabled = 3 | sum(1 << n for n in layout.where)
        struct.pack_into("<Q", state, 464, enabled)
        struct.pack_into("<Q", state, 512, 3 | sum(1 << n for n in values))
    for number, value in values.items():
        at, size = layout.where[number]
        state[at : at + size] = value.ljust(size, b"\0")
    return bytes(state)


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("host", LAYOUTS)
def test_what_no_host_lacks_goes_everywhere(source: Layout, host: Layout):
    common = {n: bytes([n]) * source.where[n][1] for n in (2,) if n in source.where}
    if common and not host.where:
        common = {}
    values = common | {n: KEYS for n in (9,) if n in source.where}
    wanted = common | {n: KEYS for n in (9,) if n in host.where}
    assert convert(made(source, values), source, host) == made(host, wanted)


@pytest.mark.parametrize("to", [AMD, AMX])
def test_a_component_goes_to_where_the_other_has_it(to: Layout):
    values = {n: bytes([n]) * size for n, (_, size) in INTEL.where.items()}
    assert convert(made(INTEL, values), INTEL, to) == made(to, values)
    assert convert(made(to, values), to, INTEL) == made(INTEL, values)


@pytest.mark.parametrize(
    ("number", "host", "name"),
    [(2, PLAIN, "avx"), (5, AVX, "opmask"), (7, AVX, "hi16_zmm"), (9, AVX, "pkru"),
     (18, INTEL, "tiledata")],
)  # fmt: skip
def test_one_in_use_that_the_host_lacks_is_named(number: int, host: Layout, name: str):
    with pytest.raises(HostError) as caught:
        convert(made(AMX, {number: b"\1"}), AMX, host)
    assert caught.value.needed == name
    assert caught.value.remedy


def test_one_that_is_as_it_begins_may_be_lacking():
    state = made(AMX, {5: b"", 9: KEYS, 18: b""})
    assert convert(state, AMX, AVX) == made(AVX, {})


@pytest.mark.parametrize("size", [0, 511, 513, 575])
def test_state_that_is_none(size: int):
    with pytest.raises(BadImage):
        convert(bytes(size), INTEL, AVX)


def test_state_that_ends_before_what_it_uses():
    with pytest.raises(BadImage, match="tiledata"):
        convert(made(AMX, {18: b"\1"})[:2696], AMX, INTEL)


@pytest.mark.parametrize("given", [None, {}, {"size": 5, "where": [[2, 0, 9]]}, {"where": 1}])
def test_a_layout_that_is_none(given: object):
    with pytest.raises(BadImage):
        Layout.of(given)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_goes_through_an_image(layout: Layout):
    assert Layout.of(layout.plain()) == layout

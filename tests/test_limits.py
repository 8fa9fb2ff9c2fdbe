"""The table of limits: what large pods make fits, what is beyond is refused before it is anything."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3

from zaptrace import limits, plain
from zaptrace.errors import BadImage
from zaptrace.image import manifest as manifests
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.limits import UNBOUNDED, Budget
from zaptrace.resources.common.file import Owner
from zaptrace.resources.common.sameness import Print
from zaptrace.resources.fdtable import Entry
from zaptrace.resources.memory.mappings import Mapping
from zaptrace.resources.regular_file import State
from zaptrace.resources.room import encode_state

BUDGETS = {
    name: value
    for name, value in vars(limits).items()
    if isinstance(value, Budget) and value is not UNBOUNDED
}


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


def many(values: int) -> bytes:
    """One value that is so many, a byte each: a list of lists of numbers."""
    inside = values - 1
    return b"\xdd" + inside.to_bytes(4, "big") + bytes(inside)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_at_the_edge(budget: Budget):
    assert len(plain.loads(many(budget.values), budget)) == budget.values - 1
    plain.loads(nested(budget.depth), budget)
    fits = Budget(bytes=4 << 10, values=budget.values, depth=budget.depth)
    assert len(plain.loads(plain.dumps(b"x" * ((4 << 10) - 5)), fits)) == (4 << 10) - 5
    for beyond in (many(budget.values + 1), nested(budget.depth + 1)):
        with pytest.raises(ValueError, match=r"more than|deeper than"):
            plain.loads(beyond, budget)
    with pytest.raises(ValueError, match="bytes where at most"):
        plain.loads(plain.dumps(b"x" * ((4 << 10) - 1)), fits)


def test_a_long_string_counts_for_its_length():
    text = plain.dumps(b"x" * 640)
    assert plain.values_in(text, Budget(1000, 11, 1)) == 11
    with pytest.raises(ValueError, match="more than 10 values"):
        plain.values_in(text, Budget(1000, 10, 1))


@pytest.mark.parametrize("key", [None, 1.5, b"x", [], {}], ids=repr)
def test_a_key_is_text_or_a_number(key: object):
    forged = b"\x81" + plain.dumps(key) + b"\x01"
    with pytest.raises(ValueError, match="not plain"):
        plain.loads(forged, limits.CONTROL)


def test_a_map_is_not_wider_than_it_may_be():
    assert len(plain.loads(plain.dumps(dict.fromkeys(range(1 << 16))), limits.STATES)) == 1 << 16
    with pytest.raises(ValueError, match="too wide"):
        plain.loads(plain.dumps(dict.fromkeys(range((1 << 16) + 1))), limits.STATES)


MAPPING = Mapping(
    0x7F0000000000, 0x7F0000001000, 5, "file", False, b"/usr/lib/x86_64-linux-gnu/libc.so.6", 4096,
    2049, 123456, "mr mw me", 0, "", b"", b"x" * 32,
)  # fmt: skip
PRINT = Print("data", False, 2049, 123456, 1, 1, 1000, b"x" * 32)
FILE = State(
    1, 0o100002, Owner(0, 2, 0, 2, 3), None, b"/srv/data", [], 0, 0o100644, 1000, 0, PRINT, None
)


def values(*states: object) -> int:
    return sum(plain.values_in(plain.dumps(encode_state(state)), UNBOUNDED) for state in states)


def test_large_pods_fit():
    """The figures that stand in the table."""
    assert values(MAPPING) == 31
    assert values(FILE, Entry(1, 1, False)) == 62
    both = 60_000 * values(MAPPING) + 10_000 * values(FILE, Entry(1, 1, False))
    assert both < 0.95 * limits.STATES.values
    part = {"size": 1, "stored": 1, "codec": "zstd", "blake3": b"x" * 32}
    table = {f"pages-{n}": part for n in range(20_000)}
    plain.values_in(plain.dumps({"kind": "manifest", "parts": table}), limits.MANIFEST)


def test_a_manifest_fits_into_a_message():
    assert limits.HEAD.bytes > limits.MANIFEST.bytes
    assert limits.HEAD.values > limits.MANIFEST.values
    assert limits.HEAD.depth > limits.MANIFEST.depth


@pytest.mark.parametrize(
    "states",
    [
        b"\x90" * (48 << 20),  # took 6 GB once
        b"\x82\xa4room\xa6memory\xa6states" + many(48 << 20),
        b"\xdd\x00\xff\xff\xff" * (9 << 20),
    ],
    ids=["one after the other", "in one list", "within each other"],
)
def test_a_little_that_becomes_much_is_refused(tmp_path: Path, states: bytes):
    with DirectorySink(tmp_path / "i", codec="zstd") as sink:
        with sink.part("state") as part:
            part.write(states)
        sink.commit({"created": 1.0, "host": {}, "pod": {"name": "web"}})
    assert sum(f.stat().st_size for f in (tmp_path / "i").iterdir()) < 200_000
    del states
    tracemalloc.start()
    try:
        with pytest.raises(BadImage, match="state cannot be read"):
            Image.open(tmp_path / "i")
        assert tracemalloc.get_traced_memory()[1] < 256 << 20
    finally:
        tracemalloc.stop()


def test_states_beyond_their_bytes_are_not_even_unpacked(tmp_path: Path):
    packed = zstandard.ZstdCompressor().compress(bytes(limits.STATES.bytes + 1))
    entry = {
        "size": limits.STATES.bytes + 1,
        "stored": len(packed),
        "codec": "zstd",
        "blake3": blake3(packed).digest(),
    }
    manifest = {"format": manifests.FORMAT, "created": 1.0, "host": {}, "pod": {"name": "web"}}
    (tmp_path / "state").write_bytes(packed)
    (tmp_path / "manifest").write_bytes(manifests.pack({**manifest, "parts": {"state": entry}}))
    with pytest.raises(BadImage, match="too big"):
        Image.open(os.fspath(tmp_path))

"""Any bytes at all are plain data within a budget, or a ValueError: the look before reading, and msgpack.

What the look lets through, msgpack reads; and whatever there is of our own, the look lets through.
"""

from __future__ import annotations

import os
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zaptrace import plain
from zaptrace.limits import CONTROL, Budget

SMALL = Budget(bytes=1000, values=40, depth=4)
TOKENS = st.sampled_from(
    [b"\x80", b"\x81", b"\x8f", b"\x90", b"\x91", b"\x9f", b"\xa0", b"\xa1x", b"\xc0", b"\xc1",
     b"\xc4\0", b"\xc4\5abcde", b"\xc7\1\1a", b"\xca\0\0\0\0", b"\xcf" + b"\xff" * 8, b"\xd9\1x",
     b"\xdb\xff\xff\xff\xff", b"\xdc\0\1", b"\xdd\0\0\0\2", b"\xde\0\1", b"\xdf\xff\xff\xff\xff",
     b"\x01", b"\xff", b"\xd4\0\0"]
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=200)
    | st.text(max_size=50),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 100), inner, max_size=5)
    ),
    max_leaves=20,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(count(k) + count(v) for k, v in value.items())
    if isinstance(value, list):
        return 1 + sum(map(count, value))
    if isinstance(value, (str, bytes)):
        return 1 + len(os.fsencode(value)) // 64
    return 1


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_ours_is_read_and_counted(value: Any):
    packed = plain.dumps(value)
    exact = Budget(len(packed), count(value), max(depth(value), 1))
    assert plain.loads(packed, exact) == value
    assert plain.values_in(packed, exact) == exact.values
    with pytest.raises(ValueError, match="more than"):
        plain.loads(packed, Budget(exact.bytes, exact.values - 1, exact.depth))
    if depth(value):
        with pytest.raises(ValueError, match="deeper than"):
            plain.loads(packed, Budget(exact.bytes, exact.values, exact.depth - 1))
    for cut in range(len(packed)):
        with pytest.raises(ValueError, match=r"cut short|no value"):
            plain.loads(packed[:cut], exact)


@settings(max_examples=1500, deadline=None)
@given(st.lists(TOKENS, max_size=25).map(b"".join) | st.binary(max_size=60))
def test_any_bytes_are_plain_or_a_value_error(data: bytes):
    try:
        values = list(plain.load_each(data, SMALL))
    except ValueError:
        return
    assert sum(map(count, values)) <= SMALL.values
    assert all(depth(value) <= SMALL.depth for value in values)
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape")
    unpacker.feed(data)
    assert repr(list(unpacker)) == repr(values)


@given(st.binary(max_size=100))
def test_a_frame_of_a_client_is_read_or_refused(data: bytes):
    try:
        plain.loads(data, CONTROL)
    except ValueError:
        return

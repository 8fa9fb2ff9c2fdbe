"""Plain data as strict msgpack: the one encoding of images, the wire and the control socket.

Plain data is None, bool, int (64 bits), float, str, bytes, list, and dict with str or int keys.
A str may hold any bytes the way os.fsdecode gives them, because a file name may.

Reading never trusts: lengths are bounded before anything is allocated, extension types do not
exist, and whatever is wrong with the bytes is a ValueError.
"""

from __future__ import annotations

from typing import Any

import msgpack

MAX_LIST = 1 << 24
"""Most items of one list."""
MAX_MAP = 1 << 16
"""Most entries of one map; also what forged keys of equal hash can cost."""


def dumps(value: Any) -> bytes:
    """`value` as msgpack. Raises TypeError, ValueError or OverflowError for what is not plain."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed


def loads(data: bytes | bytearray | memoryview) -> Any:
    """The one value in `data`. Raises ValueError when that is not exactly what is there."""
    values = loads_all(data)
    if len(values) != 1:
        raise ValueError(f"{len(values)} values where one is needed")
    return values[0]


def loads_all(data: bytes | bytearray | memoryview) -> list[Any]:
    """Every value in `data`, one after the other. Raises ValueError when the last is cut short."""
    size = max(len(data), 1)
    unpacker = msgpack.Unpacker(
        raw=False,
        use_list=True,
        strict_map_key=False,
        unicode_errors="surrogateescape",
        max_buffer_size=size,
        max_str_len=size,
        max_bin_len=size,
        max_array_len=min(size, MAX_LIST),
        max_map_len=min(size, MAX_MAP),
        max_ext_len=0,
    )
    values: list[Any] = []
    try:
        unpacker.feed(data)
        while unpacker.tell() < len(data):
            values.append(unpacker.unpack())
    except (ValueError, TypeError, MemoryError, msgpack.UnpackException) as e:
        # TypeError: a key that cannot be one. MemoryError: nested lists that all claim the limit.
        raise ValueError(f"not plain msgpack: {type(e).__name__} {e}".rstrip()) from e
    return values

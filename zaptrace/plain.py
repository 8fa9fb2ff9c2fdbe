"""Plain data as strict msgpack: the one encoding of images, the wire and the control socket.

Plain data is None, bool, int (64 bits), float, str, bytes, list, and dict with str or int keys.
A str may hold any bytes the way os.fsdecode gives them, because a file name may.

Reading never trusts: all of it is looked through, and has to keep within a budget of bytes, values
and depth (limits.py), before anything is made of it; extension types do not exist, and whatever is
wrong with the bytes is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgpack

from ._native import ffi, lib
from .limits import RECORDS, Budget

if TYPE_CHECKING:
    from typing_extensions import Buffer


def dumps(value: Any) -> bytes:
    """`value` as msgpack. Raises TypeError, ValueError or OverflowError for what is not plain."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed


def loads(data: Buffer, budget: Budget) -> Any:
    """The one value in `data`. Raises ValueError when that is not exactly what is there."""
    values = load_each(data, budget)
    for value in values:
        if next(values, values) is not values:
            raise ValueError("more values where one is needed")
        return value
    raise ValueError("no value where one is needed")


def load_each(data: Buffer, budget: Budget) -> Iterator[Any]:
    """Every value in `data`, one after the other, each made when it is its turn.

    All of `data` is looked through first. Raises ValueError when the last is cut short, or when
    together they are beyond the budget.
    """
    view = memoryview(data).cast("B")
    for start, end in list(_spans(view, budget)):
        with view[start:end] as piece:
            yield _load(piece)


def values_in(data: Buffer, budget: Budget) -> int:
    """How many values of its budget `data`, one value, takes. Raises ValueError as `loads` does."""
    for _, left in _scan(memoryview(data).cast("B"), budget):
        return budget.values - left
    raise ValueError("no value where one is needed")


def _load(piece: memoryview) -> Any:
    size = len(piece)
    try:
        return msgpack.unpackb(
            piece,
            raw=False,
            use_list=True,
            strict_map_key=False,
            unicode_errors="surrogateescape",
            max_str_len=size,
            max_bin_len=size,
            max_array_len=size,
            max_map_len=size,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as e:
        # TypeError: a key that cannot be one.
        raise ValueError(f"not plain msgpack: {type(e).__name__} {e}".rstrip()) from e


def _spans(view: memoryview, budget: Budget) -> Iterator[tuple[int, int]]:
    at = 0
    for count, (end, _) in enumerate(_scan(view, budget), 1):
        if count > RECORDS:
            raise ValueError(f"more than {RECORDS} values one after the other")
        yield at, end
        at = end


_WRONG = {
    lib.ZT_PLAIN_SHORT: "cut short",
    lib.ZT_PLAIN_ALIEN: "a type that is not plain",
}


def _scan(view: memoryview, budget: Budget) -> Iterator[tuple[int, int]]:
    """Where each value ends, and how many values are left of the budget then."""
    size = len(view)
    if size > budget.bytes:
        raise ValueError(f"{size} bytes where at most {budget.bytes} may be")
    left, used, at = ffi.new("uint64_t *"), ffi.new("uint64_t *"), 0
    left[0] = budget.values
    while at < size:
        with view[at:] as rest:
            found = lib.zt_plain_scan(ffi.from_buffer(rest), size - at, budget.depth, left, used)
        if found == lib.ZT_PLAIN_TOO_MANY:
            raise ValueError(f"more than {budget.values} values, or a map that is too wide")
        if found == lib.ZT_PLAIN_TOO_DEEP:
            raise ValueError(f"deeper than {budget.depth} lists and maps within each other")
        if found:
            raise ValueError(f"not plain msgpack: {_WRONG[found]}")
        at += used[0]
        yield at, left[0]

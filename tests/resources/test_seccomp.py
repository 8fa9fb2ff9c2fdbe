"""The seccomp room: chains of filters, those that are none, and those that nobody knows."""

from __future__ import annotations

import struct

import pytest

from harness.room_world import World
from zaptrace.errors import BadImage
from zaptrace.resources import seccomp

ALLOW = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)


def key(number: int) -> bytes:
    return struct.pack("<i", number)


def kept(below: int, code: bytes = ALLOW) -> bytes:
    return struct.pack("<iI", below, 0) + code


def test_oldest_first() -> None:
    store = {key(7): kept(0), key(9): kept(7, ALLOW * 2), key(8): kept(7, ALLOW * 3)}
    assert seccomp._chain(store, 9) == [store[key(7)], store[key(9)]]
    assert seccomp._chain(store, 8) == [store[key(7)], store[key(8)]]
    assert seccomp._chain(store, 0) == []


@pytest.mark.parametrize(
    "store",
    [
        {},
        {key(1): b""},
        {key(1): kept(0, b"")},
        {key(1): kept(0, ALLOW[:-1])},
        {key(1): kept(0, ALLOW * 4097)},
        {key(1): kept(1)},
        {key(1): kept(2), key(2): kept(1)},
        {key(1): kept(2)},
        {key(1): kept(-1)},
    ],
)
def test_what_cannot_be_a_filter(store: dict[bytes, bytes]) -> None:
    with pytest.raises(BadImage, match="seccomp filter"):
        seccomp._chain(store, 1)


def test_a_filter_that_nobody_kept_is_known_as_such() -> None:
    store = {key(1): kept(0), key(2): kept(1), key(3): kept(-1), key(4): kept(3)}
    assert not seccomp._is_unknown(store, 0)
    assert not seccomp._is_unknown(store, 2)
    assert seccomp._is_unknown(store, -1)
    assert seccomp._is_unknown(store, 4)


def test_a_thread_without_one(world: World) -> None:
    (state,) = world.capture(seccomp)
    assert state.filter == 0

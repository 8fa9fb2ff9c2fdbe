"""What the States of sockets may be: of a netlink socket, its options, a backlog, who may use it."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from zaptrace import shapes
from zaptrace.errors import BadImage
from zaptrace.resources import inet_socket, netlink_socket
from zaptrace.resources.common.options import TCP, Options
from zaptrace.resources.common.permission import Permission
from zaptrace.resources.inet_socket.address import Address
from zaptrace.resources.room import Whole
from zaptrace.shapes import Seen, Wrong

GOOD: dict[str, Any] = {
    "file_id": 3,
    "flags": os.O_RDWR,
    "owner": None,
    "permission": None,
    "type": int(socket.SOCK_RAW),
    "protocol": 0,
    "port": 7,
    "peer": [0, 1],
    "groups": [1, 33],
    "options": {"SO_RCVBUF": bytes(4)},
    "filter": b"",
}


def accept(state: dict[str, Any]) -> None:
    seen = Seen()
    netlink_socket.verify([shapes.read(netlink_socket.State, state, seen)], Whole({}, seen))


@pytest.mark.parametrize(
    "wrong",
    [
        {"peer": [1]},
        {"groups": [0]},
        {"groups": [1 << 31]},
        {"options": {"SO_RCVBUF": bytes(5)}},
        {"options": {"TCP_NODELAY": bytes(4)}},
    ],
    ids=str,
)
def test_what_a_netlink_socket_cannot_be(wrong: dict[str, Any]) -> None:
    accept(GOOD)
    with pytest.raises(BadImage):
        accept({**GOOD, **wrong})


def test_options_are_of_a_table_and_no_longer_than_they_are() -> None:
    options = Options(TCP)
    options.check({"TCP_NODELAY": bytes(4), "TCP_CONGESTION": b"cubic"}, Seen())
    for wrong in ({"UDP_CORK": bytes(4)}, {"TCP_NODELAY": bytes(5)}):
        with pytest.raises(Wrong):
            options.check(wrong, Seen())


@pytest.mark.parametrize("wrong", [{"mode": 0o10000}, {"uid": (1 << 32) - 1}, {"gid": -1}], ids=str)
def test_what_no_permission_is(wrong: dict[str, Any]) -> None:
    good = {"mode": 0o4755, "uid": 0, "gid": None}
    shapes.read(Permission, good)
    with pytest.raises(BadImage):
        shapes.read(Permission, {**good, **wrong})


@pytest.mark.parametrize(
    ("of", "name", "most"),
    [
        (inet_socket.State, "backlog", (1 << 31) - 1),
        (inet_socket.State, "flags", (1 << 31) - 1),
        (Address, "flow", (1 << 20) - 1),
    ],
)
def test_numbers_are_as_large_as_calls_take_them(of: type, name: str, most: int) -> None:
    reader = shapes._reader(shapes.hints(of)[name])
    assert reader(most, Seen()) == most
    with pytest.raises(Wrong):
        reader(most + 1, Seen())

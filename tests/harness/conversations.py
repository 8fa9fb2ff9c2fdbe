"""Both ends of a conversation, for the tests of the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import zmq
from zmq.utils import z85

from zaptrace import plain
from zaptrace.errors import PeerGone
from zaptrace.limits import HEAD
from zaptrace.network.keys import new_identity
from zaptrace.network.wire import Channel, Listener, Timeouts, connect

SERVER, CLIENT, STRANGER = new_identity(), new_identity(), new_identity()
QUICK = Timeouts(connect=5, ping=0.1, silence=30, answer=30)


@contextlib.contextmanager
def listening(
    accept: Callable[[Channel], None],
    timeouts: Timeouts = QUICK,
    bind: str = "tcp://127.0.0.1:*",
    **options: Any,
) -> Iterator[Listener]:
    """A listener that lets CLIENT in."""
    listener = Listener(
        bind,
        identity=SERVER,
        authorize=lambda key: "ada@laptop" if key == CLIENT.public else None,
        accept=accept,
        timeouts=timeouts,
        **options,
    )
    try:
        yield listener
    finally:
        listener.close()


def call(listener: Listener, **options: Any) -> contextlib.AbstractContextManager[Channel]:
    """Connect to `listener` as CLIENT."""
    options = {"identity": CLIENT, "server_key": SERVER.public, "timeouts": QUICK} | options
    return connect(listener.endpoint, **options)


def echo(channel: Channel) -> None:
    """Answer every message with itself, until the other side goes."""
    with contextlib.suppress(PeerGone):
        while True:
            message = channel.recv("say", timeout=60)
            channel.send("say", bytes(message.data), **message.fields)


@contextlib.contextmanager
def raw_client(listener: Listener) -> Iterator[zmq.Socket[bytes]]:
    """A socket with the right keys, for saying the wrong things."""
    with zmq.Context() as context:
        dealer: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.curve_publickey = z85.encode(CLIENT.public)
        dealer.curve_secretkey = z85.encode(CLIENT.secret)
        dealer.curve_serverkey = z85.encode(SERVER.public)
        dealer.connect(listener.endpoint)
        try:
            yield dealer
        finally:
            dealer.close()


def hear(dealer: zmq.Socket[bytes]) -> dict[str, Any]:
    """The next message that is no ping."""
    while True:
        assert dealer.poll(30_000)
        said = plain.loads(dealer.recv_multipart()[0], HEAD)
        if said["kind"] != "ping":
            return said

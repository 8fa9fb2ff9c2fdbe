"""The message queue room: who is told of a message by a thread of the C library's (SIGEV_THREAD)."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from harness.room_world import VPID, World
from zaptrace.errors import Unsettled, UnsupportedResource
from zaptrace.linux.program import number_of
from zaptrace.resources import mqueue
from zaptrace.resources.common.libc import checked, libc

COOKIE = bytes(range(100, 132))


class Queue:
    """With a message in it, and one that is to tell of the next through a netlink socket."""

    def __init__(self, world: World) -> None:
        name = b"zt_test_mqueue.%d" % os.getpid()
        attributes = struct.pack("<8q", 0, 4, 32, 0, 0, 0, 0, 0)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        self.fd = checked(libc.syscall(number_of("mq_open"), name, flags, 0o600, attributes))
        checked(libc.syscall(number_of("mq_unlink"), name))
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.ask()
        key = struct.pack("<i", VPID) + os.fsencode(os.readlink(f"/proc/self/fd/{self.fd}"))
        world.hold(self.fd)
        world.hold(self.netlink.fileno())
        world.store(mqueue, key, self._event + COOKIE)

    def ask(self) -> None:
        self.send()
        cookie = ctypes.create_string_buffer(COOKIE, len(COOKIE))
        self._event = struct.pack("<Qii", ctypes.addressof(cookie), self.netlink.fileno(), 2)
        checked(libc.syscall(number_of("mq_notify"), self.fd, self._event.ljust(64, b"\0")))

    def send(self) -> None:
        checked(libc.syscall(number_of("mq_timedsend"), self.fd, b"message", 7, 0, None))

    def take(self) -> None:
        text = ctypes.create_string_buffer(32)
        checked(libc.syscall(number_of("mq_timedreceive"), self.fd, text, 32, None, None))

    def said(self) -> bytes:
        try:
            return self.netlink.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


@pytest.fixture
def queue(world: World) -> Iterator[Queue]:
    made = Queue(world)
    yield made
    made.netlink.close()
    os.close(made.fd)


def test_what_is_told_is_read_first(world: World, queue: Queue) -> None:
    queue.take()
    queue.send()
    queue.ask()
    with pytest.raises(Unsettled, match="tells of a message in a queue, and is not read yet"):
        world.capture(mqueue)
    assert queue.said() == COOKIE[:-1] + b"\1"


def test_a_socket_that_was_closed(world: World, queue: Queue) -> None:
    with open(os.devnull) as other:
        os.dup2(other.fileno(), queue.netlink.fileno())
    with pytest.raises(UnsupportedResource, match="starts a thread for a message"):
        world.capture(mqueue)

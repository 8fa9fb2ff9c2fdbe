"""Connections that we keep for a pod, where something is against it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from zaptrace.errors import HostError
from zaptrace.view import kept

NAME = b"\0zaptrace-kept-%d" % os.getpid()
INODE = 7


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(NAME)
        sock.listen(4)
        yield sock


def no_thread(_: threading.Thread) -> None:
    raise HostError("no thread more")


def test_it_ends_without_its_thread(listener: socket.socket, monkeypatch: pytest.MonkeyPatch):
    """Where there was none to be had, the client hears of the end all the same."""
    it = kept.Kept()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(NAME)
        it.empty(INODE, listener, 1)
        monkeypatch.setattr(kept, "start_thread", no_thread)
        with pytest.raises(HostError):
            it.fill(INODE, NAME)
        monkeypatch.undo()
        assert it.fill(INODE, NAME)
        it.close()
        assert client.recv(1) == b""


def test_it_ends_that_never_had_a_thread(listener: socket.socket, monkeypatch: pytest.MonkeyPatch):
    it = kept.Kept()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(NAME)
        it.empty(INODE, listener, 1)
        monkeypatch.setattr(kept, "start_thread", no_thread)
        with pytest.raises(HostError):
            it.fill(INODE, NAME)
        it.close()
        assert client.recv(1) == b""


def test_all_is_taken_from_a_listener_that_was_shut_down(listener: socket.socket):
    """It stays ready for ever, with nobody waiting."""
    it = kept.Kept()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(NAME)
        listener.shutdown(socket.SHUT_RD)
        it.empty(INODE, listener, 2)
        assert len(it.connections(INODE)) == 1
        assert not it.fill(INODE, NAME)
        assert kept.accept(listener) is None
        it.close()

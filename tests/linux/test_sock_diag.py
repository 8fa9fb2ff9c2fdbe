"""A kernel that does not tell of sockets is known from one that has none of them."""

from __future__ import annotations

import importlib
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from zaptrace.errors import RestoreError, UnsupportedResource
from zaptrace.linux import abilities, sock_diag

capture = importlib.import_module("zaptrace.resources.unix_socket.capture")
restore = importlib.import_module("zaptrace.resources.unix_socket.restore")


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(request: bytes, *, dump: bool) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr(sock_diag, "ask", ask)


def test_this_kernel_tells():
    assert sock_diag.tells_of(socket.AF_UNIX)
    assert sock_diag.tells_of(socket.AF_INET, socket.IPPROTO_UDP)


def test_one_that_has_no_such_part_says_so():
    assert not sock_diag.tells_of(socket.AF_INET, 250)


def test_what_needs_it_is_refused(untold: None):
    file: Any = SimpleNamespace(holder="process 7 (it), fd 3", link="socket:[1]")
    with pytest.raises(UnsupportedResource, match="of which this kernel does not tell") as e:
        capture._refuse_untold(file)
    assert e.value.needed and "unix_diag" in e.value.needed
    state: Any = SimpleNamespace()
    build: Any = SimpleNamespace()
    with pytest.raises(RestoreError, match="does not tell of its own"):
        restore._claim([state], build)


def test_check_says_so(untold: None):
    with pytest.raises(abilities.Refused, match="none of unix and UDP"):
        abilities._sockets()

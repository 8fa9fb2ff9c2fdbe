"""A destination that has no room to note how far a hand-over is: one copy runs, and both know which."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.hand_over import FakePod, Hosts
from zaptrace.errors import HostError, ZaptraceError
from zaptrace.linux import private
from zaptrace.network.keys import Keys

NOTES = ("whole", "thawing", "live")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.close()
    assert hosts.world.broken == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_room_is_asked_for_while_the_pod_can_still_go_back(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, code: int
):
    real = private.open_file

    def open_file(path: Any, flags: int) -> int:
        if ".record." in str(path):
            raise OSError(code, os.strerror(code))
        return real(path, flags)

    monkeypatch.setattr(private, "open_file", open_file)
    pod = FakePod(hosts.world)
    with pytest.raises(ZaptraceError) as raised:
        hosts.send(pod)
    assert os.strerror(code) in str(raised.value)
    assert hosts.world.running == {"source"}
    assert not pod.killed
    hosts.finish()
    assert hosts.images() == []


def test_from_then_on_none_is_needed(hosts: Hosts, monkeypatch: pytest.MonkeyPatch):
    real, made = private.open_file, 0

    def open_file(path: Any, flags: int) -> int:
        nonlocal made
        made += ".record." in str(path)
        if made > len(NOTES):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, flags)

    monkeypatch.setattr(private, "open_file", open_file)
    hosts.send(FakePod(hosts.world))
    assert "copy" in next(iter(hosts.world.running))
    hosts.finish()
    (record,) = hosts.staging.rglob("record")
    assert json.loads(record.read_text())["state"] == "live"
    assert hosts.images() == []


@pytest.mark.parametrize("note", NOTES)
def test_a_staging_directory_that_cannot_be_written_to_any_more(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, note: str
):
    """The copy that was noted is the one that there is: frozen at the source, an image, or running."""
    real = Path.rename

    def rename(path: Path, target: Any) -> Any:
        if path.name == f".record.{note}":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    pod = FakePod(hosts.world)
    if note == "live":
        hosts.send(pod)
        assert "copy" in next(iter(hosts.world.running))
        return
    with pytest.raises(ZaptraceError) as raised:
        hosts.send(pod)
    hosts.finish()
    if note == "whole":
        assert hosts.world.running == {"source"}
        assert hosts.images() == []
    else:
        (image,) = hosts.images()
        assert image in str(raised.value)
        assert hosts.world.running == set()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_keys_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int):
    def full(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr("zaptrace.network.keys.os.fsync", full)
        with pytest.raises(HostError, match="cannot keep keys") as raised:
            Keys(tmp_path)
    assert os.strerror(code) in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    keys = Keys(tmp_path)
    line = keys.identity.text[:4] + "A" * 43
    keys.authorize(line, "first")
    before = keys.authorized_hosts.read_text()
    with monkeypatch.context() as patched:
        real = os.write
        patched.setattr("zaptrace.network.keys.os.write", lambda fd, data: real(fd, data[:9]))
        with pytest.raises(HostError, match="cannot keep keys"):
            keys.authorize(line[:-1] + "E", "second")
    assert keys.authorized_hosts.read_text() == before

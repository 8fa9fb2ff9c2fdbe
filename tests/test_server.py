"""The host server: whom it lets in, what it finds after a restart, how it ends."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.hand_over import SHORT, FakeCopy, FakePod, Hosts, World
from zaptrace import migration
from zaptrace.errors import HostError, InternalError, WireError
from zaptrace.network.keys import Keys
from zaptrace.server import Server, serve


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Two hosts of one user, so that their keys fit."""
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.close()
    assert hosts.world.broken == []


def test_one_server_for_an_address(hosts: Hosts) -> None:
    with pytest.raises(HostError, match="another host server"):
        Server(
            "tcp://127.0.0.1:*",
            spawn=lambda image, name, _: FakeCopy(hosts.world, image, name),
            config=hosts.config,
            staging=hosts.staging,
        )


def test_a_stranger_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    theirs = Keys(tmp_path / "other")
    with pytest.raises(WireError, match="not who we take it for"):
        hosts.send(config=theirs.directory)
    with pytest.raises(WireError, match="does not let us in") as e:
        hosts.send(config=theirs.directory, key=hosts.server.key)
    assert theirs.identity.text in (e.value.do or "")
    assert not theirs.known_hosts.exists(), "only what worked is remembered"
    Keys(hosts.config).authorize(theirs.identity.text, "ada@laptop")
    hosts.send(config=theirs.directory, key=hosts.server.key)
    hosts.world.running = {"source"}
    hosts.send(config=theirs.directory)  # the server's key is known by now
    assert hosts.server.key in theirs.known_hosts.read_text()


def test_leftovers_of_a_killed_server(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    for i, record in enumerate(["", "nonsense", '{"state": "whole"}', '{"state": 7}']):
        directory = staging / (f"{i:x}" * 32)
        (directory / "image").mkdir(parents=True)
        if record:
            (directory / "record").write_text(record)
    (staging / "something else").mkdir()
    hosts = Hosts(tmp_path)
    try:
        assert os.listdir(staging) == ["something else"]
        hosts.send()
    finally:
        hosts.close()


def test_serve_runs_until_it_is_asked_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("ZAPTRACE_CONFIG_DIR", str(tmp_path / "config"))
    world, before = World(), signal.getsignal(signal.SIGTERM)
    seen: list[str] = []

    def ready(server: Server) -> None:
        pod = FakePod(world)
        migration.send(pod, server.endpoint, capture=pod.capture, timeouts=SHORT)
        seen.extend([server.endpoint, server.key])
        os.kill(os.getpid(), signal.SIGTERM)

    serve(
        "tcp://127.0.0.1:0", spawn=lambda image, name, _: FakeCopy(world, image, name), ready=ready
    )
    assert seen[1] == Keys(tmp_path / "config").identity.text
    assert not seen[0].endswith((":0", ":*"))
    assert len(world.running) == 1
    assert world.broken == []
    assert signal.getsignal(signal.SIGTERM) == before
    assert (tmp_path / "run" / ".staged").is_dir()


def test_a_server_that_hears_nobody_ends_with_its_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("ZAPTRACE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def ready(server: Server) -> None:
        monkeypatch.setattr(server._listener, "also", lambda ready: 1 // 0)

    with pytest.raises(InternalError, match="cannot go on with the wire"):
        serve(
            "tcp://127.0.0.1:0", spawn=lambda image, name: pytest.fail("nobody asked"), ready=ready
        )

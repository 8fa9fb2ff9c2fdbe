"""Keys are made once, kept to ourselves, and looked up the way the docstring of keys.py says."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zaptrace.errors import HostError
from zaptrace.network.keys import Keys, config_dir, decode, encode, host_of, new_identity

HERE = "tcp://127.0.0.1:7077"
THERE = "tcp://there.example:7077"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@given(st.binary(min_size=32, max_size=32))
def test_keys_as_text(key: bytes) -> None:
    assert decode(encode(key)) == key
    assert len(encode(key)) == 47
    assert encode(key).replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=50))
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(HostError):
        decode(text)


@pytest.mark.parametrize("cut", [1, 46])
def test_a_key_that_lost_a_character(cut: int) -> None:
    with pytest.raises(HostError, match="is not a key"):
        decode(encode(bytes(range(32)))[:cut])


def test_the_identity_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    first = Keys(tmp_path / "deep" / "zaptrace")
    again = Keys(tmp_path / "deep" / "zaptrace")
    assert first.identity == again.identity
    assert mode(first.directory) == 0o700
    assert mode(first.directory / "identity") == 0o600
    assert (first.directory / "identity.pub").read_text().split()[0] == first.identity.text
    assert encode(first.identity.secret) not in repr(first.identity)
    assert sorted(os.listdir(first.directory)) == ["identity", "identity.pub"]


def test_two_processes_agree_on_one_identity(tmp_path: Path) -> None:
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(Keys(tmp_path / "k").identity))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1


def test_an_identity_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    (keys.directory / "identity").chmod(0o640)
    with pytest.raises(HostError) as e:
        Keys(tmp_path)
    assert e.value.remedy == f"chmod go-rwx {tmp_path}/identity"


@pytest.mark.parametrize("content", ["", "zap-", "nonsense", "zap-" + "!" * 43])
def test_a_damaged_identity_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "identity").touch(0o600)
    (tmp_path / "identity").write_text(content)
    with pytest.raises(HostError, match="cannot use our key"):
        Keys(tmp_path)


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(HostError, match="others have access"):
        Keys(tmp_path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError) as e:
        Keys(tmp_path / "file" / "zaptrace")
    assert "ZAPTRACE_CONFIG_DIR" in (e.value.remedy or "")


def test_where_the_keys_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZAPTRACE_CONFIG_DIR", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_dir() == tmp_path / ".config" / "zaptrace"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert config_dir() == tmp_path / "xdg" / "zaptrace"
    monkeypatch.setenv("ZAPTRACE_CONFIG_DIR", str(tmp_path / "z"))
    assert config_dir() == tmp_path / "z"


# Servers we trust


def test_an_unknown_server_is_taken_for_ourselves(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    assert keys.server_key(HERE) == keys.identity.public


def test_a_key_is_remembered_once_it_has_proven_right(tmp_path: Path) -> None:
    keys, server = Keys(tmp_path), new_identity()
    assert keys.server_key(THERE, server.text) == server.public
    assert keys.server_key(THERE) == keys.identity.public, "given is not yet known"
    keys.remember(THERE, server.public)
    keys.remember(THERE, server.public)
    assert keys.server_key(THERE) == server.public
    assert keys.known_hosts.read_text() == f"there.example:7077 {server.text}\n"
    assert mode(keys.known_hosts) == 0o600


def test_our_own_key_is_not_written_down(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.remember(HERE, keys.identity.public)
    assert not keys.known_hosts.exists()


def test_a_changed_key_is_refused_and_the_line_named(tmp_path: Path) -> None:
    keys, server, other = Keys(tmp_path), new_identity(), new_identity()
    keys.known_hosts.write_text(f"# mine\n\nelse:1 {other.text}\nthere.example:7077 {server.text}")
    keys.known_hosts.chmod(0o600)
    with pytest.raises(HostError) as e:
        keys.server_key(THERE, other.text)
    assert "line 4" in (e.value.remedy or "")
    keys.remember("tcp://new:1", other.public)
    assert keys.server_key(THERE) == server.public, "a line without an end is not spoilt"
    assert keys.server_key("tcp://new:1") == other.public


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("tcp://a:1", "a:1"),
        ("tcp://127.0.0.1:7077", "127.0.0.1:7077"),
        ("tcp://[::1]:7077", "[::1]:7077"),
    ],
)
def test_endpoints(endpoint: str, host: str) -> None:
    assert host_of(endpoint) == host


@pytest.mark.parametrize("endpoint", ["", "a:1", "tcp://a", "ipc:///x", "tcp://a:b", "tcp://a b:1"])
def test_what_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(HostError, match="not an address"):
        host_of(endpoint)


# Who may send us pods


def test_who_may_come_in(tmp_path: Path) -> None:
    keys, friend, stranger = Keys(tmp_path), new_identity(), new_identity()
    assert keys.who(keys.identity.public) is not None
    assert keys.who(friend.public) is None
    keys.authorize(friend.text, "ada@laptop, the old one")
    keys.authorize(friend.text, "again")
    assert keys.who(friend.public) == "ada@laptop, the old one"
    assert keys.who(stranger.public) is None
    assert keys.authorized_hosts.read_text().count("\n") == 1


def test_lines_that_are_no_keys_let_nobody_in(tmp_path: Path) -> None:
    keys, friend = Keys(tmp_path), new_identity()
    keys.authorized_hosts.write_text(f"# {friend.text}\nzap-short x\n\n{friend.text}\n")
    keys.authorized_hosts.chmod(0o600)
    assert keys.who(friend.public) == friend.text


def test_a_list_that_others_can_write_is_refused(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.authorize(new_identity().text)
    keys.authorized_hosts.chmod(0o620)
    with pytest.raises(HostError, match="others have access"):
        keys.who(new_identity().public)

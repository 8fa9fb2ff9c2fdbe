"""Several pods at a time, and the one that is meant by --latest."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest

from harness.shell import Shell
from harness.supervisors import eventually
from zaptrace.supervisor import runtime

SLEEP = ("--", "sleep", "600")


@pytest.fixture
def three(zaptrace: Shell) -> Shell:
    for name in ("one", "two", "three"):
        assert zaptrace("run", "-d", "--name", name, *SLEEP).returncode == 0
    return zaptrace


class TestStop:
    def test_some(self, three: Shell) -> None:
        done = three("stop", "one", "two", "one")
        assert done.returncode == 0
        assert sorted(done.stdout.splitlines()) == [
            "one was ended by signal 15",
            "two was ended by signal 15",
        ]
        assert runtime.pods(three.root) == ["three"]

    def test_one_that_is_not_there_keeps_none_of_the_others(self, three: Shell) -> None:
        done = three("stop", "one", "nobody", "two")
        assert done.returncode == 3
        assert "there is no pod 'nobody'" in done.stderr
        assert runtime.pods(three.root) == ["three"]

    def test_all_as_json(self, three: Shell) -> None:
        done = three("stop", "--all", "--kill", "--json")
        ended = [(one["pod"], one["status"]) for one in json.loads(done.stdout)]
        assert ended == [("one", 9), ("three", 9), ("two", 9)]
        assert runtime.pods(three.root) == []
        nobody = three("stop", "--all")
        assert (nobody.returncode, nobody.stderr) == (0, "zaptrace: no pod is running\n")

    @pytest.mark.parametrize("argv", [("stop",), ("stop", "one", "--all")])
    def test_none_or_both_is_wrong_usage(self, zaptrace: Shell, argv: tuple[str, ...]) -> None:
        assert zaptrace(*argv).returncode == 2


def test_the_latest_pod(three: Shell, tmp_path: Path) -> None:
    image = tmp_path / "x.zap"
    assert three("checkpoint", "--to", str(image), "--latest").returncode == 0
    assert json.loads(three("show", "--latest", "--json").stdout)["pod"]["name"] == "three"
    assert json.loads(three("ps", "--latest", "--json").stdout)["name"] == "three"
    assert f"image {image} can be restored" in three("check", "--latest").stdout
    assert three("signal", "--latest", "TERM").returncode == 0
    assert three("wait", "--latest").stdout == "three was ended by signal 15\n"
    assert three("stop", "--latest").stdout == "two was ended by signal 15\n"
    assert three("restore", "--latest", "-d").stdout == "three\n"
    assert three("run", "--", "echo", "--latest").stdout == "--latest\n"


def test_no_latest(zaptrace: Shell, tmp_path: Path) -> None:
    done = zaptrace("stop", "--latest")
    assert (done.returncode, "there is no latest pod" in done.stderr) == (3, True)
    done = zaptrace("restore", "--latest")
    assert (done.returncode, "there is no latest image" in done.stderr) == (7, True)


def test_an_image_is_replaced_when_the_new_one_is_whole(zaptrace: Shell, tmp_path: Path) -> None:
    assert zaptrace("run", "-d", "--name", "web", *SLEEP).returncode == 0
    image = tmp_path / "web.zap"
    first = zaptrace("checkpoint", "web", "--to", str(image), "--codec", "none")
    assert first.returncode == 0 and " of " not in first.stdout
    before = image.stat().st_ino
    again = zaptrace("checkpoint", "web", "--to", str(image))
    assert (again.returncode, "--overwrite" in again.stderr) == (7, True)
    over = zaptrace("checkpoint", "web", "--to", str(image), "--overwrite", "--stop")
    assert over.returncode == 0 and " of " in over.stdout, over.stderr
    assert image.stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["web.zap"], (
        "nothing is left of the former"
    )
    size = sum(path.stat().st_size for path in image.iterdir() if path.name != "manifest")
    parts = json.loads(zaptrace("show", str(image), "--json").stdout)["parts"]
    assert {part["codec"] for part in parts.values()} == {"zstd"}
    assert sum(part["stored"] for part in parts.values()) == size
    assert zaptrace("restore", str(image), "-d").returncode == 0


def test_several_move_at_once(zaptrace: Shell) -> None:
    fake = Shell(zaptrace.root, "harness.fake_pod")
    for name in ("one", "two", "three"):
        assert fake("run", "-d", "--name", name, *SLEEP).returncode == 0
    done = fake("migrate", "one", "nobody", "two", "tcp://there:1")
    assert done.returncode == 3
    assert sorted(line.split(":")[0] for line in done.stdout.splitlines()) == [
        "one runs at tcp",
        "two runs at tcp",
    ]
    assert runtime.pods(fake.root) == ["three"]
    moved = json.loads(fake("migrate", "--all", "tcp://there:1", "--json").stdout)
    assert [(one["pod"], one["to"]) for one in moved] == [("three", "tcp://there:1")]
    assert fake("migrate", "--all", "--name", "x", "tcp://there:1").returncode == 2


_LISTENS = """
import socket, sys
door = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
while True:
    door.accept()[0].close()
"""


def test_a_second_one_listens_at_another_port(zaptrace: Shell, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        first, second = one.getsockname()[1], two.getsockname()[1]
    image = str(tmp_path / "web.zap")
    listens = (sys.executable, "-c", _LISTENS, str(first))
    assert zaptrace("run", "-d", "--name", "web", "--", *listens).returncode == 0
    eventually(lambda: zaptrace("logs", "web").stdout == "up\n")
    assert zaptrace("checkpoint", "web", "--to", image).returncode == 0
    done = zaptrace("restore", image, "-d", "--name", "web-2", "--port", f"{first}={second}")
    assert done.returncode == 0, done.stderr
    for port in (first, second):
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    for wrong in ("80", "80=", "0=1", "1=65536"):
        assert zaptrace("restore", image, "--port", wrong).returncode == 2


_BINDS = """
import os, socket, sys
door = socket.socket(socket.AF_UNIX); os.chdir(sys.argv[1]); door.bind("door"); door.listen()
print("up", flush=True)
while True:
    end = door.accept()[0]; end.send(end.getsockname().encode()); end.close()
"""


def test_a_second_one_is_bound_to_another_path(zaptrace: Shell, tmp_path: Path) -> None:
    """A relative name is one of a path, too."""
    image, first, second = str(tmp_path / "web.zap"), tmp_path / "door", tmp_path / "second"
    binds = (sys.executable, "-c", _BINDS, str(tmp_path))
    assert zaptrace("run", "-d", "--name", "web", "--", *binds).returncode == 0
    eventually(lambda: zaptrace("logs", "web").stdout == "up\n")
    assert zaptrace("checkpoint", "web", "--to", image).returncode == 0
    assert "address" in zaptrace("restore", image, "-d", "--name", "web-2").stderr, "it is taken"
    moved = ("--socket", f"{first}={second}")
    done = zaptrace("restore", image, "-d", "--name", "web-2", *moved)
    assert done.returncode == 0, done.stderr
    for path, name in ((first, "door"), (second, str(second))):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(20)
            asking.connect(str(path))
            assert asking.recv(100).decode() == name
    for wrong in ("/a", "=/a", "/a=", f"/a=/{'b' * 107}"):
        assert zaptrace("restore", image, "--socket", wrong).returncode == 2
    assert zaptrace("stop", "--all").returncode == 0


def test_what_was_on_a_terminal_is_shown_when_asked_for(zaptrace: Shell, tmp_path: Path) -> None:
    image = str(tmp_path / "sh.zap")
    said = ("--", "sh", "-c", "echo a secret; sleep 600")
    assert zaptrace("run", "-d", "-t", "--name", "sh", *said).returncode == 0
    eventually(lambda: "a secret" in zaptrace("logs", "sh").stdout)
    assert zaptrace("checkpoint", "sh", "--to", image).returncode == 0
    secret = b"a secret".hex()
    assert secret not in zaptrace("show", image, "--json").stdout
    assert secret in zaptrace("show", image, "--json", "--scrollback").stdout


def test_one_whose_socket_was_removed_is_found(zaptrace: Shell) -> None:
    """By name and by ps; where its supervisor cannot be found any more, ps says so."""
    assert zaptrace("run", "-d", "--name", "web", *SLEEP).returncode == 0
    pid = runtime.supervisor_pid(zaptrace.root / "web")
    shutil.rmtree(zaptrace.root / "web")
    assert "running" in zaptrace("ps").stdout
    shutil.rmtree(zaptrace.root / "web")
    assert zaptrace("exec", "web", "--", "echo", "here").stdout == "here\n"
    shutil.rmtree(zaptrace.root / "web")
    with runtime._locked(zaptrace.root):  # so nobody makes anything there
        done = zaptrace("ps", "--json")
        assert [(one["name"], one["state"]) for one in json.loads(done.stdout)] == [
            ("web", "unreachable")
        ]
        assert f"kill {pid} ends it" in zaptrace("ps").stderr
    assert zaptrace("stop", "web").returncode == 0


def test_what_a_pod_takes_and_where_its_last_image_is(zaptrace: Shell, tmp_path: Path) -> None:
    assert zaptrace("run", "-d", "--name", "web", *SLEEP).returncode == 0
    assert "in memory" in zaptrace("ps", "web").stdout
    assert zaptrace("ps", "web").stdout.endswith("0 attached, no image yet\n")
    image = str(tmp_path / "web.zap")
    assert zaptrace("checkpoint", "web", "--to", image).returncode == 0
    assert zaptrace("ps", "web").stdout.endswith(f"0 attached, last image {image}\n")
    told = json.loads(zaptrace("ps", "web", "--json").stdout)
    assert told["meta"]["last_image"] == image and told["memory"] > 4096

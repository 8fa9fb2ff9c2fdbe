"""What cannot be carried is refused with its name, changes nothing, and the pod runs on."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import socketserver
import threading
import time
from pathlib import Path

import pytest

from harness.flavours import FLAVOURS, started
from harness.hosts import Host
from harness.world import PATIENCE_S, REAL, FlavourError, environment, python

NAMED = {
    "connection": "no process of the pod holds",
    "mptcp": "is a connection of MPTCP",
    "fanotify": "a room that can capture anon_inode:[fanotify]; there is none",
    "userfaultfd": "a room that can capture anon_inode:[userfaultfd]; there is none",
    "vsock": "a room that can capture a socket of AF_VSOCK; there is none",
    "landlock": "Landlock sandbox",
    "key": "has keys that the kernel keeps",
    "one_signal": "raises one signal and no more",
    "mapped_lease": "a lease that is a writer's, of a mapped file",
    "mapped_socket": "it maps socket:[",
    "mapped_ofd_lock": "a mapping keeps an open file description lock",
    "mapped_lock_of_nobody": "a mapping keeps a lock of a process that has ended",
    "unreadable_executable": "its executable was removed or replaced, and cannot be read",
    "table_of_a_thread": "has a descriptor table of its own",
    "stub_overwritten": "has other bytes than those that were laid there",
    "stub_mapped_over": "is another's than what was laid there",
    "stub_joined": "reaches into the place of the stub",
    "vdso_changed": "has other bytes than the vDSO that was laid there",
}
"""What a program may hold that cannot be carried, and how the error names it."""


def allowed(what: str) -> bool:
    """Can the program get hold of it here at all?"""
    if what == "mptcp":
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262):
            return True
        return False
    if what == "vsock":
        with contextlib.suppress(OSError), socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM):
            return True
        return False
    if what == "landlock":
        create_ruleset, version = 444, 1
        return ctypes.CDLL(None).syscall(create_ruleset, None, 0, version) > 0
    if what == "userfaultfd":
        fd: int = ctypes.CDLL(None).syscall(323, os.O_CLOEXEC | 1)
        if fd >= 0:
            os.close(fd)
        return fd >= 0
    if what == "key":
        keyctl, get_keyring_id, of_process = 250, 0, -2
        ctypes.set_errno(0)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(keyctl, get_keyring_id, of_process, 0)
        return ctypes.get_errno() in (0, errno.ENOKEY)
    if what != "fanotify":
        return True
    report_fid = 0x200
    fd = ctypes.CDLL(None).fanotify_init(report_fid, os.O_RDONLY)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


@pytest.fixture
def outside():
    """The port of a server that gives back what it is sent."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(64):
                self.request.sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("what", NAMED)
def test_refused_by_name(what: str, place: Path, outside: int):
    if not allowed(what):
        pytest.skip(f"{what} is not allowed here: an old kernel, or a container's filter")
    env = {"OUTSIDE": str(outside)}
    with started("restore", [python(), REAL / "refused.py", what], place, env=env) as it:
        it.wait_for("ready")
        with pytest.raises(FlavourError) as refused:
            it.cycle()
        said = str(refused.value)
        assert "UnsupportedResource" in said
        for word in ("needed", "found", "changed", NAMED[what]):
            assert word in said, said
        assert not list(it.place.glob("image-*")), "a refused checkpoint leaves no image"
        it.go()
        assert "PASS" in it.finish().output


def test_command_line_says_so(place: Path, outside: int):
    host, go = Host(place, "a"), place / "go"
    try:
        env = {**environment(), "ZT_GO": str(go), "OUTSIDE": str(outside)}
        pairs = [f"{k}={v}" for k, v in env.items()]
        command = ["env", "-i", *pairs, python(), str(REAL / "refused.py"), "connection"]
        host.run("run", "-d", "--name", "stuck", "--", *command)
        for _ in range(100):
            if "ready" in host.run("logs", "stuck").stdout:
                break
        image = place / "image"
        refused = host.run("checkpoint", "stuck", "--to", str(image), check=False)
        assert refused.returncode != 0
        assert "zaptrace: cannot checkpoint" in refused.stderr
        assert "changed" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not image.exists()
        assert [pod["name"] for pod in host.pods()] == ["stuck"]
        go.touch()
    finally:
        host.close()


TRACES = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if not child:
    signal.pause()
TRACEME, SEIZE = 0, 0x4206
for request, pid in ((TRACEME, 0), (SEIZE, child)):
    print(libc.ptrace(request, pid, 0, 0), ctypes.get_errno())
os.kill(child, signal.SIGKILL)
os.wait()
"""


@pytest.mark.parametrize("flavour", [f for f in ("pod",) if f in FLAVOURS])
def test_no_tracer_in_a_pod(flavour: str, place: Path):
    with started(flavour, [python(), "-c", TRACES], place) as it:
        assert it.finish().output.split() == ["-1", "1", "-1", "1"]


@pytest.mark.parametrize("verb", ["checkpoint", "migrate"])
def test_a_connection_to_outside_has_been_reset(verb: str, place: Path, outside: int):
    """With --outside close; a pod that goes on keeps it."""
    here, there, go = Host(place, "a"), Host(place, "b"), place / "go"
    try:
        env = {**environment(), "ZT_GO": str(go), "OUTSIDE": str(outside), "RESET": "1"}
        pairs = [f"{k}={v}" for k, v in env.items()]
        command = ["env", "-i", *pairs, python(), str(REAL / "refused.py"), "connection"]
        here.run("run", "-d", "--name", "left", "--", *command)
        deadline = time.monotonic() + PATIENCE_S
        while "ready" not in here.run("logs", "left").stdout:
            assert time.monotonic() < deadline
        if verb == "migrate":
            there.serve()
            here.know(there)
            here.run("migrate", "left", there.endpoint, "--outside", "close")
            host = there
        else:
            image = str(place / "image")
            here.run("checkpoint", "left", "--to", image, "--stop", "--outside", "close")
            here.run("restore", image, "-d")
            host = here
        go.touch()
        assert "PASS" in host.run("logs", "left", "--follow").stdout
    finally:
        here.close()
        there.close()

"""Connections at a unix socket that nobody has accepted yet, of a pod that is checkpointed and goes on."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zaptrace
from harness.supervisors import eventually
from zaptrace.errors import Unsettled

PROGRAM = """
import os, socket, sys, time
home, name, *texts = sys.argv[1:]
name = name.replace("@", chr(0))
listener = socket.socket(socket.AF_UNIX)
listener.bind(name)
listener.listen(8)
held = []
def connect(text):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(name)
    held[-1].send(text.encode())
def until(step):
    print("before", step, flush=True)
    while not os.path.exists(os.path.join(home, step)):
        time.sleep(0.01)
for text in texts:
    connect(text)
    if text == "gone":
        held.pop().close()
until("more")
if texts:
    connect("two")
until("accept")
listener.settimeout(0)
silent = [sock for sock, text in zip(held, [t for t in texts if t != "gone"]) if not text]
while True:
    try:
        accepted = listener.accept()[0]
    except BlockingIOError:
        break
    if silent:
        silent.pop().send(b"at last")
    accepted.settimeout(2)
    said = accepted.recv(9).decode()
    with_end = said in ("gone", "outside", "") and not accepted.recv(9)
    print(said, "and no more" if with_end else "", flush=True)
"""


@contextlib.contextmanager
def running(home: Path, name: str, *texts: str) -> Iterator[zaptrace.Pod]:
    argv = [sys.executable, "-c", PROGRAM, str(home), name, *texts]
    with zaptrace.launch(argv, on_exit="stop") as pod:
        eventually(lambda: "before more" in pod.logs(), "its connections")
        yield pod


def told(pod: zaptrace.Pod) -> list[str]:
    """What it found, once it has accepted all."""
    assert pod.wait(30).returncode == 0
    return [line.strip() for line in pod.logs().splitlines() if not line.startswith("before")]


@pytest.mark.parametrize("abstract", [True, False])
def test_it_is_checkpointed_twice_and_others_connect_meanwhile(home: Path, abstract: bool):
    name = f"@{home}/sock" if abstract else f"{home}/sock"
    first, second = home / "first.zap", home / "second.zap"
    with running(home, name, "one", "", "gone") as pod:
        pod.checkpoint(first)
        (home / "more").touch()
        eventually(lambda: "before accept" in pod.logs(), "one more")
        pod.checkpoint(second)
        (home / "accept").touch()
        waited = ["one", "at last", "gone and no more", "two"]
        assert told(pod) == waited
    for image in (first, second):
        with zaptrace.restore(image, on_exit="stop") as again:
            assert told(again) == waited


def test_clients_outside_are_cut_in_the_image_alone(home: Path):
    image, name = home / "cut.zap", str(home / "sock")
    with contextlib.ExitStack() as stack:
        pod = stack.enter_context(running(home, name))
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for client in clients:
            client.settimeout(20)
            client.connect(name)
        clients[0].send(b"outside")
        with pytest.raises(Unsettled, match="other end is not in the pod") as refused:
            pod.checkpoint(home / "no.zap")
        assert "--outside close" in str(refused.value)
        pod.checkpoint(image, outside="close")
        for step in ("more", "accept"):
            (home / step).touch()
        clients[0].shutdown(socket.SHUT_WR)
        clients[1].send(b"lives on")
        assert told(pod) == ["outside and no more", "lives on"]
    with zaptrace.restore(image, on_exit="stop") as again:
        assert told(again) == ["outside and no more", "and no more"]

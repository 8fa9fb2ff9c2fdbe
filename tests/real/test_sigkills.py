"""SIGKILL to anybody, at any moment of any verb: one copy runs, or a whole image is there, or the pod
went with its supervisor; and nothing is left behind that the next command does not remove.

ZAPTRACE_KILLS says how many (CI: few). A round that fails says its number, which makes it again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.hosts import Host, cli, two_hosts
from harness.world import PATIENCE_S, python, waited

KILLS = int(os.environ.get("ZAPTRACE_KILLS", "12"))
FIRST = int(os.environ.get("ZAPTRACE_KILLS_FROM", "0"))
VERBS = ("run", "checkpoint", "checkpoint --stop", "restore", "migrate", "freeze", "stop", "ps")
VICTIMS = ("client", "supervisor", "source", "destination", "copy")
MARK = "ZT_STORM"
_LONGEST_S = 0.7
PROGRAM = (
    "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    "memory = bytearray(b'x' * (4 << 20))\n"
    "time.sleep(600)\n"
)


class Storm:
    """Two hosts, and one pod that lives on one of them, or in an image."""

    def __init__(self, place: Path, a: Host, b: Host) -> None:
        self.place, self.hosts = place, (a, b)
        self.mark = place.name
        self.image = place / "pod.zap"
        for host in self.hosts:
            host.env |= {MARK: self.mark, "TMPDIR": str(self.directory(host))}
            host.serve()  # anew, with these

    def directory(self, host: Host) -> Path:
        """Where its temporary files are."""
        path = self.place / f"tmp-{host.name}"
        path.mkdir(exist_ok=True)
        return path

    # -- who is there

    def marked(self) -> list[int]:
        """Every process that descends from one of the hosts' commands."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and self._is_marked(int(entry)):
                    found.append(int(entry))
        return found

    def _is_marked(self, pid: int) -> bool:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return state not in "ZX" and f"{MARK}={self.mark}".encode() in variables

    def copies(self) -> list[int]:
        """The processes of the pod, of every copy of it."""
        found = []
        for pid in self.marked():
            if words_of(pid)[1:3] == [b"-c", PROGRAM.encode()]:  # not the command that started it
                found.append(pid)
        return found

    def home(self) -> Host | None:
        """Where the pod is."""
        return next((host for host in self.hosts if host.pods()), None)

    def beside(self, copies: list[int]) -> set[int]:
        """Who is neither of the pod, nor its supervisor, nor a server or what it keeps ready."""
        found = set(self.marked()) - set(self.servers()) - set(copies)
        found -= {parent_of(pid) for pid in copies}
        ready = {pid for pid in found if b"waiting" in words_of(pid)}
        return found if len(ready) > len(self.servers()) else found - ready

    def servers(self) -> list[int]:
        return [host.server.pid for host in self.hosts if host.server]

    def victim(self, who: str, client: int, here: Host, there: Host) -> int | None:
        if who == "client":
            return client
        if who in ("source", "destination"):
            host = here if who == "source" else there
            return host.server.pid if host.server else None
        known = {*self.servers(), client}
        supervisors = {parent_of(pid) for pid in self.copies()} - known
        if who == "supervisor":
            return min(supervisors, default=None)
        others = set(self.marked()) - known - set(self.copies()) - supervisors
        return max(others, default=max(supervisors, default=None))

    # -- a round

    def ready(self, verb: str) -> Host:
        """The pod is as `verb` wants to find it; on which host."""
        here = self.home()
        if verb == "run" or (verb == "restore" and here):
            for host in self.hosts:
                for pod in host.pods():
                    host.run("stop", "--kill", pod["name"])
            here = None
        if verb == "run":
            return self.hosts[0]
        if here is None and not (verb == "restore" and self.image.exists()):
            here = self.hosts[0]
            here.run(*self.words("run"))
        if verb == "restore" and here is not None:
            here.run(*self.words("checkpoint --stop"))
        return here or self.hosts[0]

    def words(self, verb: str, there: Host | None = None) -> list[str]:
        """The command line of a verb."""
        name, image = "storm", str(self.image)
        if verb.startswith("checkpoint"):
            with contextlib.suppress(OSError):
                self.forget_image()
            return ["checkpoint", name, "--to", image, *verb.split()[1:]]
        return {
            "run": ["run", "-d", "--name", name, "--", python(), "-c", PROGRAM],
            "restore": ["restore", image, "-d"],
            "migrate": ["migrate", name, there.endpoint if there else ""],
            "freeze": ["freeze", name],
            "stop": ["stop", name],
            "ps": ["ps", name],
        }[verb]

    def forget_image(self) -> None:
        subprocess.run(["rm", "-rf", str(self.image)], check=True)

    def whole_images(self) -> list[Path]:
        """Every image that there is, ours and staged ones; each has to be whole."""
        staged = [p for host in self.hosts for p in host.home.glob("run/.staged/*/*/image")]
        found = [p for p in (self.image, *staged) if p.exists()]
        for image in found:
            self.hosts[0].run("check", str(image))
        return found


def parent_of(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def words_of(pid: int) -> list[bytes]:
    """Its command line; nothing when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


@pytest.fixture
def storm(place: Path) -> Iterator[Storm]:
    with two_hosts(place) as (a, b):
        yield Storm(place, a, b)


@pytest.mark.timeout(120 + 30 * KILLS)
def test_one_copy_or_a_whole_image(storm: Storm) -> None:
    told: dict[str, int] = {}
    for number in range(FIRST, FIRST + KILLS):
        outcome = one_round(storm, number)
        told[outcome] = told.get(outcome, 0) + 1
    print(f"{KILLS} kills: {told}")


def one_round(storm: Storm, number: int) -> str:
    chance = random.Random(f"kill {number}")
    verb = VERBS[number % len(VERBS)]
    who = chance.choice(VICTIMS)
    here = storm.ready(verb)
    there = next(host for host in storm.hosts if host is not here)
    said = f"round {number}: {verb}, SIGKILL to {who}"
    with open(storm.place / "client.log", "wb") as log:
        client = subprocess.Popen(
            [*cli(), *storm.words(verb, there)],
            env=here.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    waited.add(client.pid)
    time.sleep(chance.random() * _LONGEST_S)  # that it is any moment is the point
    victim = storm.victim(who, client.pid, here, there)
    if victim is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    status = client.wait(PATIENCE_S)
    waited.discard(client.pid)
    return judge(storm, said, verb, who, status)


def judge(storm: Storm, said: str, verb: str, who: str, status: int) -> str:
    log = (storm.place / "client.log").read_text(errors="replace")
    said = f"{said}: exit {status}\n{log}"
    for host in storm.hosts:
        if host.server and host.server.poll() is not None:
            host.serve()
        host.run("ps")  # and it sweeps
    settle(storm)
    copies = storm.copies()
    pods = [pod for host in storm.hosts for pod in host.pods()]
    assert len(copies) <= 1, f"{said}\ntwo copies: {copies}"
    assert len(pods) == len(copies), f"{said}\nknown are {json.dumps(pods)}, there is {copies}"
    images = storm.whole_images()
    for pod in pods:
        if pod["state"] == "frozen":
            next(h for h in storm.hosts if h.pods()).run("thaw", pod["name"])
    if not copies:
        goes = who in ("supervisor", "copy") or verb == "stop"
        begins = verb in ("run", "restore")
        assert goes or begins or images, f"{said}\nneither a pod nor an image is left"
    left = {pid: words_of(pid) for pid in storm.beside(copies)}
    assert not left, f"{said}\nleft: {left}"
    for host in storm.hosts:
        rubbish = os.listdir(storm.directory(host))
        assert not rubbish, f"{said}\nleft in TMPDIR: {rubbish}"
    beside = [p.name for p in storm.place.iterdir() if p.name.startswith(".pod")]
    assert not beside or verb.startswith("checkpoint"), f"{said}\nleft: {beside}"
    if not copies and not storm.image.exists():
        return "gone"
    return "a copy" if copies else "an image"


def settle(storm: Storm) -> None:
    """Who is on the way to its end has come to it."""
    deadline = time.monotonic() + PATIENCE_S
    while storm.beside(storm.copies()) and time.monotonic() < deadline:
        time.sleep(0.05)

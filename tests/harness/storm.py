"""Two hosts and one pod, among processes that are killed: who is there, what is left, what it takes.

The pod (real/programs/beating.py) lives on one of the hosts or in an image. What only looks is done
here, as a command of the same user would do it; what is to be killed is a command.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import world
from harness.hosts import Host, Terminal, cli
from harness.world import PATIENCE_S, REAL, FlavourError, waited
from zaptrace.errors import ZaptraceError
from zaptrace.image.image import Image
from zaptrace.migration import destination
from zaptrace.network.channel import Timeouts
from zaptrace.pod.contents import read
from zaptrace.supervisor import control, runtime, sweeping

NAME = "storm"
MARK = "ZT_STORM"
_LOGS = ("log", "log.old", "log.times", "log.old.times")
_LOOK_S = 0.02
_END_S = PATIENCE_S + Timeouts().retry
"""So long may a source have to say that its pod is to go on there."""
_SETTLED = ("running", "frozen")
_SEGMENT_PAGES = (300, 30_000)


class Storm:
    def __init__(self, place: Path, a: Host, b: Host) -> None:
        self.place, self.hosts = place, (a, b)
        self.image = place / "pod.zap"
        self.socket = place / "listener"
        self.segment = 4096 * random.SystemRandom().randint(*_SEGMENT_PAGES)
        program = str(REAL / "beating.py")
        self.argv = [world.python(), program, str(self.socket), str(self.segment)]
        for host in self.hosts:
            host.env |= {MARK: place.name, "TMPDIR": str(self.temporary(host))}
            host.serve()  # anew, with these

    def temporary(self, host: Host) -> Path:
        """Where its temporary files are."""
        path = self.place / f"tmp-{host.name}"
        path.mkdir(exist_ok=True)
        return path

    # -- who is there

    def marked(self) -> set[int]:
        """Every process that descends from one of the hosts' commands."""
        found = set()
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and self._is_marked(int(entry)):
                    found.add(int(entry))
        return found

    def _is_marked(self, pid: int) -> bool:
        if stat_of(pid)[0] in ("Z", "X"):
            return False
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return f"{MARK}={self.place.name}".encode() in variables

    def copies(self, marked: set[int]) -> dict[int, list[int]]:
        """The processes of each copy of the pod, by the supervisor of it."""
        found: dict[int, list[int]] = {}
        members = {pid for pid in marked if words_of(pid) == self.argv}
        for pid in sorted(members):
            above = parent_of(pid)
            while above in members:
                above = parent_of(above)
            if above:
                found.setdefault(above, []).append(pid)
        return found

    def supervisor(self, host: Host) -> int | None:
        """Of the pod at that host, if there is one."""
        entry = host.home / "run" / NAME
        return runtime.supervisor_pid(entry) if runtime.is_alive(entry) else None

    def supervisors(self) -> set[int]:
        return {pid for host in self.hosts if (pid := self.supervisor(host))}

    def servers(self) -> set[int]:
        return {host.server.pid for host in self.hosts if host.server}

    def beside(self, marked: set[int], copies: dict[int, list[int]]) -> set[int]:
        """Who is neither of a copy, nor its supervisor or heir, nor a server or what it keeps ready."""
        known = self.servers() | self.supervisors() | {p for one in copies.values() for p in one}
        found = {p for p in marked - known if not (is_heir(p) and parent_of(p) in known)}
        waiting = ("waiting", "zaptrace: waiting")  # before and after it has given itself a title
        ready = {pid for pid in found if not {*waiting}.isdisjoint(words_of(pid))}
        return found if len(ready) > len(self.servers()) else found - ready

    def victims(self, client: int, here: Host, there: Host) -> dict[str, int]:
        """Who could be killed now, by what they are."""
        marked = self.marked()
        copies = self.copies(marked)
        found: dict[str, int | None] = {
            "client": client if client in marked else None,
            "supervisor": self.supervisor(here),
            "arriving": self.supervisor(there),
            "source": here.server.pid if here.server else None,
            "destination": there.server.pid if there.server else None,
        }
        for name, above in (("pod", "supervisor"), ("copy", "arriving")):
            found[name] = max(copies.get(found[above] or 0, ()), default=None)
        others = self.beside(marked, copies) - {client}
        found["other"] = max((p for p in others if not is_heir(p)), default=None)
        return {name: pid for name, pid in found.items() if pid}

    def pods(self) -> list[tuple[Host, dict[str, Any]]]:
        """What the supervisors say."""
        found = []
        for host in self.hosts:
            for name in runtime.pods(host.home / "run"):
                with contextlib.suppress(ZaptraceError), self._client(host, name) as client:
                    found.append((host, client.call("status", timeout=PATIENCE_S)))
        return found

    def _client(self, host: Host, name: str = NAME) -> control.Client:
        return control.Client(name, host.home / "run")

    def segments(self) -> int:
        """How many there are of the size that the pod's has."""
        lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        return sum(1 for line in lines if line.split()[3] == str(self.segment))

    # -- what is done to them

    def ready(self, verb: str) -> Host:
        """The pod is as `verb` wants to find it, and on which host."""
        pods = self.pods()
        if verb.startswith("run"):
            self.end()
            return self.hosts[0]
        if verb == "attach" and pods and pods[0][1]["meta"]["stdio"] != "tty":
            self.end()
            pods = []
        here = pods[0][0] if pods else None
        if here is None and (verb == "attach" or not self.image.exists()):
            here = self.hosts[0]
            self.start(here, tty=verb == "attach")
        if verb == "restore":
            if here is not None:
                self.forget_image()
                here.run(*self.words("checkpoint --stop"))
            return here or self.hosts[0]
        if here is None:  # that it is whole is best seen so
            here = self.hosts[0]
            here.run("restore", str(self.image), "-d")
            assert self.beats()
        if verb == "thaw":
            with self._client(here) as client:
                client.call("freeze")
        self.forget_image()
        return here

    def start(self, host: Host, *, tty: bool) -> None:
        """Without terminal, or with one from which we detach."""
        self.forget_image()
        self.socket.unlink(missing_ok=True)
        if tty:
            screen = Terminal([*cli(), *self.words("run in a terminal")], host.env)
            try:
                screen.expect("beating", PATIENCE_S)
                screen.type("\x1cd")
                assert screen.wait(PATIENCE_S) == 0
            finally:
                screen.close()
        else:
            host.run(*self.words("run"))
        assert self.beats()

    def end(self) -> None:
        """The pod is no more."""
        for host, _ in self.pods():
            with contextlib.suppress(ZaptraceError), self._client(host) as client:
                client.call("stop", kill=True)
        self.settle()
        self.forget_image()
        self.socket.unlink(missing_ok=True)

    def forget_image(self) -> None:
        shutil.rmtree(self.image, ignore_errors=True)

    def words(self, verb: str, there: Host | None = None) -> list[str]:
        """The command line of a verb."""
        image = str(self.image)
        if verb.startswith("run"):
            detach = [] if "terminal" in verb else ["-d"]
            return ["run", *detach, "--name", NAME, "--", *self.argv]
        if verb.startswith("checkpoint"):
            return ["checkpoint", NAME, "--to", image, *verb.split()[1:]]
        return {
            "restore": ["restore", image, "-d"],
            "migrate": ["migrate", NAME, there.endpoint if there else ""],
            "logs": ["logs", "-f", NAME],
        }.get(verb, [verb, NAME])

    @contextlib.contextmanager
    def client(self, verb: str, here: Host, there: Host) -> Iterator[Client]:
        """The command, on its way; it is gone after the block."""
        words = [*cli(), *self.words(verb, there)]
        one: Client = (OnTerminal if verb in ON_TERMINALS else Plain)(words, here.env, self.place)
        try:
            yield one
        finally:
            one.close()

    # -- what holds afterwards

    def settle(self) -> list[str]:
        """Who is on the way to its end has come to it, and what is being done is done; what is not."""
        deadline = time.monotonic() + _END_S
        while (left := self.unsettled()) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        return left

    def unsettled(self) -> list[str]:
        """What there is that does not stay; the next command of the user sweeps first."""
        for host in self.hosts:
            _sweep(host, self.temporary(host))
        world.reap()
        marked = self.marked()
        copies = self.copies(marked)
        found = [f"{pid} {words_of(pid)}" for pid in sorted(self.beside(marked, copies))]
        found += [f"of no supervisor: {copies[pid]}" for pid in copies.keys() - self.supervisors()]
        pods = self.pods()
        found += [f"{host.name}: {p['state']}" for host, p in pods if p["state"] not in _SETTLED]
        if len(pods) != len(copies):
            found.append(f"known are {pods}, there is {copies}")
        if (segments := self.segments()) > len(copies):
            found.append(f"{segments} segments of {len(copies)} copies")
        return [*found, *self.rubbish(pods)]

    def rubbish(self, pods: list[tuple[Host, dict[str, Any]]]) -> list[str]:
        """Files and directories that nobody needs."""
        here = {"a", "b", "tmp-a", "tmp-b", "listener", "pod.zap", "client.log"}
        found = [f"beside the image: {name}" for name in set(os.listdir(self.place)) - here]
        for host in self.hosts:
            run, temporary = host.home / "run", self.temporary(host)
            found += [f"in TMPDIR of {host.name}: {name}" for name in os.listdir(temporary)]
            known = {".lock", ".ended", ".staged", ".latest-image"}
            known |= {p["name"] for at, p in pods if at is host}
            found += [f"{host.name}: {name}" for name in set(os.listdir(run)) - known]
            kept = {f"{NAME}.{end}" for end in ("json", *_LOGS)}
            if (run / ".ended").exists():
                found += [f"{host.name}: {n}" for n in set(os.listdir(run / ".ended")) - kept]
            for arrival in run.glob(".staged/*/*"):
                state = destination.record_of(arrival)["state"]
                if state == "receiving" or (state == "live" and (arrival / "image").exists()):
                    found.append(f"{host.name}: staged, {state}: {arrival.name}")
        return found

    def images(self) -> list[Path]:
        """Every image that there is, ours and staged ones; each is whole, or this raises."""
        staged = [p for host in self.hosts for p in host.home.glob("run/.staged/*/*/image")]
        found = [path for path in (self.image, *staged) if path.exists()]
        for path in found:
            with Image.open(path) as image:
                read(image)
        return found

    def keep_one(self, images: list[Path], *, needed: bool) -> None:
        """No staged one stays; `needed`: one is where the next round finds it."""
        for path in images:
            if needed and not self.image.exists():
                shutil.copytree(path, self.image)
            if path != self.image:
                shutil.rmtree(path.parent)

    def thaw(self, host: Host) -> None:
        with self._client(host) as client:
            client.call("thaw")

    def beats(self) -> bool:
        """The pod does a turn from now on; False when it has come to its end meanwhile."""
        deadline = time.monotonic() + PATIENCE_S
        answers = 0
        while answers < 2:  # the first is of the turn before
            try:
                with socket.socket(socket.AF_UNIX) as asking:
                    asking.settimeout(PATIENCE_S)
                    asking.connect(str(self.socket))
                    if asking.recv(100):
                        answers += 1
                        continue
            except OSError as error:  # it may not have come that far
                if time.monotonic() > deadline:
                    raise FlavourError(f"the pod does not answer: {error}") from error
            if not self.pods():
                return False
            time.sleep(_LOOK_S)
        return True


class Plain:
    """A command without a terminal."""

    def __init__(self, words: list[str], env: dict[str, str], place: Path) -> None:
        self._log = place / "client.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self._process.pid
        waited.add(self.pid)

    def over(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        return self._process.wait(_END_S)

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        waited.discard(self.pid)


class OnTerminal:
    """One that is typed to, and lasts until somebody ends it."""

    def __init__(self, words: list[str], env: dict[str, str], place: Path) -> None:
        self._screen = Terminal(words, env)
        self.pid = self._screen.pid

    def over(self) -> bool:
        return stat_of(self.pid)[0] in ("Z", "X")

    def wait(self) -> int:
        return self._screen.wait(_END_S)

    def said(self) -> str:
        with contextlib.suppress(FlavourError):
            self._screen.expect(r"\Z.", 0)
        return self._screen.text

    def close(self) -> None:
        self._screen.close()


Client = Plain | OnTerminal
ON_TERMINALS = ("run in a terminal", "attach")


def _sweep(host: Host, temporary: Path) -> None:
    import tempfile

    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        sweeping.sweep(host.home / "run")
    finally:
        tempfile.tempdir = before


def stat_of(pid: int) -> list[str]:
    """State, parent ...; X when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X", "0"]


def parent_of(pid: int) -> int:
    return int(stat_of(pid)[1])


def words_of(pid: int) -> list[str]:
    """Its command line; nothing when it is gone."""
    with contextlib.suppress(OSError):
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
        return [os.fsdecode(word) for word in data.split(b"\0")[:-1]]
    return []


def is_heir(pid: int) -> bool:
    """It removes the System V objects of a pod whose supervisor is killed, or holds what its calls
    wait for until its processes are killed; then it ends."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text() in ("zaptrace-heir\n", "zaptrace-holder\n")
    return False

"""The demonstration: a pod moves between two host servers and back, and nothing is lost.

    demo (this process)            launches the pod, asks for its migrations, shows and proves
    stage (its child)              owns a temporary directory and both host servers
    host server one, two           the stage's children, each with a runtime directory of its own
    supervisors, and the pod       wherever it is now

The stage ends when the pipe from the demo closes, for whatever reason, a SIGKILL included; it then
ends the servers and every pod in the two runtime directories and removes the temporary directory.
So there is one way to clean up, and it does not depend on how the demo ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from ..errors import HostError, PodError, WireTimeout, ZaptraceError, refusals_of_the_host
from ..linux.scratch import remove_tree, temporary_place
from ..supervisor import control, runtime, starter
from . import program

POD = "demo"
HOSTS = ("one", "two")
_ANY_PORT = "tcp://127.0.0.1:0"
_PATIENCE_S = 60.0
_STAGE_END_S = 120.0
"""The stage gives servers, pods and the directory some 10 s each."""
_LOOK_S = 0.02


@dataclass(frozen=True)
class Hop:
    """One migration."""

    source: str
    destination: str
    downtime_s: float
    bytes: int
    total_s: float


@dataclass
class Result:
    """What the demonstration showed; `failures` is empty when the proof holds."""

    hops: list[Hop] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    last: int = 0
    checksum: str = ""
    processes: int = 0
    threads: int = 0
    failures: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": not self.failures, **asdict(self)}


@dataclass(frozen=True)
class Host:
    """A host server of ours."""

    name: str
    root: Path
    endpoint: str


class Log:
    """The log of the pod on one host, read as it grows; it stays readable when the pod leaves."""

    def __init__(self, host: Host, path: Path) -> None:
        self.host = host
        self.lines: list[str] = []
        self._path = path
        self._stream: IO[bytes] | None = None
        self.rest = b""
        """What came after the last whole line."""

    def read(self) -> list[str]:
        """The whole lines that came since the last time."""
        if self._stream is None:
            try:
                self._stream = self._path.open("rb", buffering=0)
            except FileNotFoundError:
                return []
        *lines, self.rest = (self.rest + self._stream.read()).split(b"\n")
        new = [line.decode(errors="replace") for line in lines]
        self.lines += new
        return new

    def close(self) -> None:
        """Let go of the file."""
        if self._stream is not None:
            self._stream.close()


Show = Callable[[Host, str], None]
"""show(host, line): a line that the pod wrote on that host."""
Say = Callable[[str], None]


def run(*, stay: float, rate: float, show: Show, say: Say) -> Result:
    """Move the pod there and back, `stay` seconds on each host, `rate` numbers a second."""
    with _stage() as hosts:
        return _Demo(hosts, show, say).run(stay, rate)


class _Demo:
    def __init__(self, hosts: list[Host], show: Show, say: Say) -> None:
        self.hosts = hosts
        self.logs: list[Log] = []
        self.result = Result()
        self._show = show
        self._say = say

    def run(self, stay: float, rate: float) -> Result:
        one, two = self.hosts
        python = shutil.which("python3")
        if python is None:
            raise HostError("the demonstration needs python3 in PATH", remedy="install python3")
        argv = [python, program.__file__, str(rate)]
        job = starter.Job("launch", str(one.root), POD, argv=argv, env=dict(os.environ))
        job.cwd, job.stdio = "/", "log"
        try:
            with starter.start(job) as started:
                self._arrived(one)
                self._say(f"pod {started.name} runs on host {one.name}: {self._describe(one)}")
                self._watch(stay)
                self._hop(one, two)
                self._watch(stay)
                self._hop(two, one)
                self._watch(stay)
                self._finish(one)
        finally:
            for log in self.logs:
                log.close()
        _prove(self.result, self.logs)
        return self.result

    def _arrived(self, host: Host) -> None:
        self.logs.append(Log(host, host.root / POD / "log"))

    def _describe(self, host: Host) -> str:
        self._watch_until(lambda: bool(self.logs[0].lines), "the first line")
        with control.Client(POD, host.root) as client:
            processes = client.call("status", processes=True, timeout=_PATIENCE_S)["processes"]
        self.result.processes = len(processes)
        self.result.threads = sum(p["threads"] for p in processes)
        return f"{self.result.processes} processes, {self.result.threads} threads"

    def _look(self) -> None:
        for log in self.logs:
            for line in log.read():
                self._show(log.host, line)

    def _watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._look()
            time.sleep(_LOOK_S)

    def _watch_until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > until:
                raise WireTimeout(f"the demonstration waited {_PATIENCE_S:.0f} s for {what}")
            self._look()
            time.sleep(_LOOK_S)

    def _hop(self, source: Host, destination: Host) -> None:
        self._say(f"migrating from host {source.name} to host {destination.name} ...")
        outcome: list[dict[str, Any] | BaseException] = []

        def ask() -> None:
            try:
                with control.Client(POD, source.root) as client:
                    options = {"config": str(source.root.parent / "config")}
                    reply = client.call("migrate", to=destination.endpoint, options=options)
                    outcome.append(reply["report"])
            except BaseException as e:
                outcome.append(e)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        self._watch_until(lambda: not asking.is_alive(), "the migration")
        report = outcome[0]
        if isinstance(report, BaseException):
            raise report
        self._arrived(destination)
        hop = Hop(
            source.name,
            destination.name,
            report["downtime_s"],
            report["bytes"],
            report.get("total_s", 0.0),
        )
        self.result.hops.append(hop)
        self._watch_until(lambda: POD not in runtime.pods(source.root), "the source to let go")
        self._say(
            f"the pod runs on host {destination.name}: it stood still for "
            f"{hop.downtime_s * 1000:.0f} ms, {hop.bytes / (1 << 20):.1f} MiB were sent"
        )

    def _finish(self, host: Host) -> None:
        with control.Client(POD, host.root) as client:
            client.call("signal", signal=int(signal.SIGUSR1), timeout=_PATIENCE_S)
            outcome = client.wait(_PATIENCE_S)
        self._watch_until(lambda: not runtime.is_alive(host.root / POD), "the end of the pod")
        self._look()
        if outcome.status != 0:
            end = runtime.describe_end(outcome.to_dict())
            self.result.failures.append(f"the pod should have ended well, but {end}")


def _prove(result: Result, logs: list[Log]) -> None:
    """Compute everything again, from nothing but the numbers, and compare."""
    fail = result.failures.append
    lines = [(log.host.name, line) for log in logs for line in log.lines]
    for number, log in enumerate(logs):
        result.lines[f"{number + 1}: host {log.host.name}"] = len(log.lines)
        if not log.lines:
            fail(f"the pod wrote nothing in stay {number + 1}, on host {log.host.name}")
        if log.rest:
            cut = log.rest.decode(errors="replace")
            fail(f"the last line of stay {number + 1}, on host {log.host.name}, is cut: {cut}")
    expected, running, workers = 0, "", set()
    for host, line in lines:
        fields = line.split()
        if fields[:1] == ["end"]:
            result.last, result.checksum = int(fields[1]), fields[2]
            continue
        expected += 1
        checksum = program.checksum_of(expected)
        running = program.chained(running, checksum)
        if fields[:3] != [str(expected), checksum, running]:
            fail(f"line {expected} on host {host} should say {expected} {checksum}, says: {line}")
            break
        workers.add(fields[3])
    else:
        if not result.last:
            fail("the pod did not come to its end")
        elif (result.last, result.checksum) != (expected, running):
            fail(
                f"the pod ended at {result.last} {result.checksum}, here it is {expected} {running}"
            )
    if len(workers) > 2:
        fail(f"there are 2 workers, but they had the pids {', '.join(sorted(workers))}")


# The stage


@contextlib.contextmanager
def _stage() -> Iterator[list[Host]]:
    child = subprocess.Popen(
        starter.python(__name__, "stage"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # ctrl-c is for us; we close its pipe
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        said = _line_of(child)
        if not said:
            raise PodError("the host servers of the demonstration did not start")
        servers = json.loads(said)
        if "error" in servers:
            raise ZaptraceError.from_dict(servers["error"])
        yield [Host(h["name"], Path(h["root"]), h["endpoint"]) for h in servers["hosts"]]
    finally:
        child.stdin.close()
        _await_end(child, _STAGE_END_S)
        child.stdout.close()


def _line_of(child: subprocess.Popen[bytes]) -> bytes:
    """What a child says first; empty when it ended, or says nothing for long."""
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], _PATIENCE_S)
    return child.stdout.readline() if ready else b""  # a line that has begun ends, or its writer


def _await_end(child: subprocess.Popen[bytes], patience: float) -> None:
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def stage() -> None:
    """The main function of the stage."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as up:
        try:
            with refusals_of_the_host("cannot make a directory for the demonstration"):
                path = tempfile.mkdtemp(prefix="zaptrace-demo-", dir=temporary_place())
            up.callback(_remove, path)
            hosts = [_serve(Path(path), name, up) for name in HOSTS]
        except ZaptraceError as e:
            print(json.dumps({"error": e.to_dict()}), flush=True)
            return
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"hosts": hosts}), flush=True)
        sys.stdin.buffer.read()


def _remove(path: str) -> None:
    """All of it, also while a supervisor on its way out still writes how its pod ended."""
    until = time.monotonic() + 10
    while os.path.exists(path) and time.monotonic() < until:
        remove_tree(path)
        time.sleep(_LOOK_S)


def _serve(base: Path, name: str, up: contextlib.ExitStack) -> dict[str, str]:
    root = runtime.root(base / name)
    log = base / f"{name}.log"
    environment = {
        **os.environ,
        "ZAPTRACE_RUNTIME_DIR": str(root),
        "ZAPTRACE_CONFIG_DIR": str(base / "config"),  # shared, so both trust each other
    }
    with log.open("wb") as stderr:
        server = subprocess.Popen(
            starter.python(
                "zaptrace.cli", "main", "serve", "--bind", "tcp://127.0.0.1:0", "--json"
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
        )
    up.callback(_end_pods, root)
    up.callback(_end_server, server)
    assert server.stdout is not None
    said = _line_of(server)
    if not said:
        raise PodError(
            f"host server {name} of the demonstration did not start",
            found=log.read_text(errors="replace").strip()[-1000:] or "no word of it",
        )
    return {"name": name, "root": str(root), "endpoint": json.loads(said)["endpoint"]}


def _end_server(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    _await_end(server, 10)


def _end_pods(root: Path) -> None:
    for name in runtime.pods(root):
        with contextlib.suppress(ZaptraceError), control.Client(name, root) as client:
            client.call("discard", timeout=10)
    until = time.monotonic() + 10
    while runtime.pods(root) and time.monotonic() < until:
        time.sleep(_LOOK_S)

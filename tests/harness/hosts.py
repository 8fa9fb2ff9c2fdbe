"""Two host servers on this machine, each with directories of its own, and pods that move between.

Here everything goes through the command line, as a user would do it; only a program that does not wait
for us is held and moved by messages to its supervisor, which take no time to start.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import snapshot, world
from harness.runs import Run
from harness.world import PATIENCE_S, FlavourError, waited
from zaptrace.errors import Unsettled, ZaptraceError
from zaptrace.network.keys import Keys
from zaptrace.supervisor import control, runtime

ENDED = ("it has no process any more", "is not running any more", "there is no pod")
"""How `migrate` says that the program had ended."""


def cli() -> list[str]:
    """The `zaptrace` that belongs to the Python that runs us."""
    return [sys.executable, "-m", "zaptrace"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


_PORTS_TRIED = 4


class Host:
    """One host: a runtime directory, a config directory (keys), and perhaps a host server."""

    def __init__(self, place: Path, name: str):
        self.name = name
        self.home = place / name
        self.home.mkdir()
        self.env = {
            **os.environ,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "ZAPTRACE_RUNTIME_DIR": str(self.home / "run"),
        }
        self.server: subprocess.Popen[str] | None = None
        self.endpoint = ""

    def run(self, *args: str, timeout: float = PATIENCE_S, check: bool = True, **more: Any):
        """`zaptrace ARGS` on this host, to its end."""
        env = {**self.env, **more.pop("env", {})}
        try:
            done = subprocess.run(
                [*cli(), *args], env=env, timeout=timeout, capture_output=True, text=True,
                stdin=subprocess.DEVNULL, check=False, **more,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            raise FlavourError(
                f"zaptrace {' '.join(args)}: no end after {timeout} s\n{late.stderr}"
            ) from None
        if check and done.returncode != 0:
            raise FlavourError(
                f"zaptrace {' '.join(args)} on {self.name}: exit {done.returncode}\n"
                f"{done.stdout}{done.stderr}\n{self.log()}"
            )
        return done

    def serve(self, *, env: dict[str, str] | None = None) -> None:
        """Start the host server and wait until it accepts pods; a second one where the first was."""
        self._bury_server()
        for _ in range(0 if self.endpoint else _PORTS_TRIED):
            self.endpoint = f"tcp://127.0.0.1:{free_port()}"
            if self._serve(env):
                return
        if not self._serve(env):
            raise FlavourError(f"the host server ended at once\n{self.log()}")

    def _serve(self, env: dict[str, str] | None) -> bool:
        """False if it ended at once: somebody else has taken the port that was free."""
        with open(self.home / "server.log", "ab") as log:
            self.server = subprocess.Popen(
                [*cli(), "serve", "--bind", self.endpoint, "--json"],
                env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        waited.add(self.server.pid)
        assert self.server.stdout
        if self.server.stdout.readline():
            return True
        self._bury_server()
        return False

    def serves(self) -> bool:
        return self.server is not None and self.server.poll() is None

    def has(self, name: str) -> bool:
        """Is this pod here?"""
        return name in runtime.pods(self.home / "run")

    def keys(self) -> Keys:
        return Keys(self.home / "config" / "zaptrace")

    def know(self, other: Host) -> None:
        """We know the other's key, and it lets us in."""
        mine, theirs = self.keys(), other.keys()
        mine.remember(other.endpoint, theirs.identity.public)
        theirs.authorize(mine.identity.text, self.name)

    def pods(self) -> list[dict[str, Any]]:
        said = self.run("ps", "--json").stdout
        found = json.loads(said or "[]")
        return found["pods"] if isinstance(found, dict) else found

    def log(self) -> str:
        parts = []
        for path in sorted([self.home / "server.log", *self.home.glob("run/**/*log*")]):
            if path.is_file():
                tail = "\n".join(path.read_text(errors="replace").splitlines()[-25:])
                parts.append(f"--- {path}\n{tail}")
        return "\n".join(parts)

    def close(self) -> None:
        with contextlib.suppress(FlavourError, ValueError, KeyError, TypeError):
            for pod in self.pods():
                self.run("stop", "--kill", pod["name"], check=False, timeout=20)
        self._bury_server()

    def _bury_server(self) -> None:
        if not self.server:
            return
        self.server.terminate()
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        waited.discard(self.server.pid)
        world.staying.discard(self.server.pid)
        assert self.server.stdout
        world.staying_open.discard(self.server.stdout.fileno())
        self.server.stdout.close()
        self.server = None


@contextlib.contextmanager
def two_hosts(place: Path) -> Iterator[tuple[Host, Host]]:
    """Both serve, and each accepts the other's pods."""
    a, b = Host(place, "a"), Host(place, "b")
    try:
        a.serve()
        b.serve()
        a.know(b)
        b.know(a)
        yield a, b
    finally:
        a.close()
        b.close()


class _Pair:
    """Two hosts that serve as long as this pytest lives; new ones when a server of theirs has ended."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._hosts: tuple[Host, Host] | None = None

    def get(self) -> tuple[Host, Host]:
        if not self._hosts or not all(host.serves() for host in self._hosts):
            self.close()
            world.at_end.callback(self.close)
            place = world.make_place()
            self._stack.callback(world.remove, place)
            self._hosts = self._stack.enter_context(two_hosts(place))
            for server in (host.server for host in self._hosts):
                assert server and server.stdout
                world.staying.add(server.pid)
                world.staying_open.add(server.stdout.fileno())
            world.serving.update(str(host.home) for host in self._hosts)
        return self._hosts

    def close(self) -> None:
        world.serving.difference_update(str(host.home) for host in self._hosts or ())
        self._hosts = None
        self._stack.close()


pair = _Pair()


@dataclass(frozen=True)
class _Shown:
    """A pod as its supervisor shows it."""

    shown: list[dict[str, Any]]

    def processes(self) -> list[dict[str, Any]]:
        return self.shown


class MigratingRun(Run):
    """A pod that every cycle moves to the other of two hosts."""

    _numbers = itertools.count(1)

    def start(self) -> None:
        self.here, self.there = pair.get()
        self.name = f"test-{next(self._numbers)}"
        self._ended = False
        self.status_file = self.place / "status"
        # The program writes to a file that it opened itself: stdio is another test's concern.
        # The outer shell stays, to tell how it ended wherever it ends. It begins when `run` is through.
        script = (
            'until [ -e "$BEGIN" ]; do sleep 0.05; done; '
            '"$@" >"$OUT" 2>&1 </dev/null; s=$?; echo $s >"$STATUS.new"; mv "$STATUS.new" "$STATUS"'
        )
        begin = self.place / "begin"
        env = {
            **self.env,
            "BEGIN": str(begin),
            "OUT": str(self.out),
            "STATUS": str(self.status_file),
        }
        level = env.get("ZT_CPU_LEVEL")
        options = ["--cpu-level", f"x86-64-v{level}"] if level else []
        self.here.run(
            "run", "-d", "--name", self.name, *options,
            "--", "env", "-i", *(f"{k}={v}" for k, v in env.items()),
            "/bin/sh", "-c", script, "sh", *self.argv, cwd=self.cwd,
        )  # fmt: skip
        begin.touch()

    def cycle(self) -> bool:
        before = self._look() if self.waits else None
        wrong = self._moved_by_command() if self.waits else self._moved_at_once()
        if wrong:
            if any(words in wrong for words in ENDED) and self.wait(0.5) is not None:
                return False
            raise self.failed(f"migrate: {wrong}")
        self.here, self.there = self.there, self.here
        self.cycles += 1
        if before:
            self._no_differences(
                "the migrated pod is not the one that was there",
                snapshot.differences(before, self._look()),
            )
        return True

    def _moved_by_command(self) -> str:
        done = self.here.run("migrate", self.name, self.there.endpoint, check=False)
        return f"exit {done.returncode}\n{done.stdout}{done.stderr}" if done.returncode else ""

    def _moved_at_once(self) -> str:
        """Held still first: on a busy host a program may have ended before a migration of it begins. One
        that cannot be moved as it is runs on for a moment, as it does for a migration that froze it."""
        deadline = time.monotonic() + PATIENCE_S
        try:
            with self._client() as client:
                while True:
                    client.call("freeze")
                    try:
                        client.call("migrate", to=self.there.endpoint, options={}, scrollback=True)
                        return ""
                    except Unsettled:
                        if time.monotonic() > deadline:
                            raise
                    client.call("thaw")
                    time.sleep(0.01)
        except ZaptraceError as error:
            return str(error)

    def _look(self) -> snapshot.Snapshot:
        """From outside, as its supervisor does not do our errands."""
        with self._client() as client:
            client.call("freeze")
            try:
                return snapshot.take(_Shown(client.call("status", processes=True)["processes"]))
            finally:
                client.call("thaw")

    def _client(self) -> control.Client:
        return control.Client(self.name, self.here.home / "run")

    def wait(self, timeout: float) -> int | None:
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(OSError):
                code = int(self.status_file.read_text())
                self._ended = True
                return code << 8 if code < 128 else code - 128  # the shell's way to tell a signal
            if time.monotonic() >= deadline:
                return None
            time.sleep(min(0.02, max(0.0, deadline - time.monotonic())))

    def signal(self, number: int) -> None:
        shell = self.processes()[0]["vpid"]
        program = next(p["vpid"] for p in self.processes() if p["ppid"] == shell)
        self.here.run("signal", self.name, signal.Signals(number).name, "--process", str(program))

    def processes(self) -> list[dict[str, Any]]:
        with self._client() as client:
            return client.call("status", processes=True)["processes"]

    def failed(self, what: str) -> FlavourError:
        return FlavourError(f"{super().failed(what)}\n{self.here.log()}\n{self.there.log()}")

    def close(self) -> None:
        """The shell around a program that has ended does so next, and the pod with it."""
        for host in (self.here, self.there):
            deadline = time.monotonic() + (PATIENCE_S if self._ended else 0)
            while host.has(self.name):
                if time.monotonic() > deadline:
                    host.run("stop", "--kill", self.name, check=False)
                    break
                time.sleep(0.01)


_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


class Terminal:
    """A program in a terminal of its own, typed to and read from, as a person would."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: Path | None = None):
        self.text = ""
        self.pid, self.master = os.forkpty()
        if self.pid == 0:
            try:
                if cwd:
                    os.chdir(cwd)
                os.execvpe(argv[0], argv, env)
            finally:
                os._exit(127)
        os.set_blocking(self.master, False)
        waited.add(self.pid)
        self.argv = argv

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str, timeout: float = 20) -> str:
        """Read on until `pattern` (a regular expression) appears; what came with it is used up."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.text)):
            try:
                self.text += _ANSI.sub("", os.read(self.master, 65536).decode("utf-8", "replace"))
                continue
            except BlockingIOError:
                pass
            except OSError:
                raise FlavourError(f"{self.argv}: ended before {pattern!r}:\n{self.text}") from None
            if time.monotonic() > deadline:
                raise FlavourError(f"{self.argv}: no {pattern!r} in:\n{self.text}")
            time.sleep(0.01)
        self.text = self.text[found.end() :]
        return found.group()

    def wait(self, timeout: float = 20) -> int:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.text += os.read(self.master, 65536).decode("utf-8", "replace")
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                waited.discard(self.pid)
                os.close(self.master)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        raise FlavourError(f"{self.argv}: does not end:\n{self.text}")

    def close(self) -> None:
        """Hang up, as closing the window would, and make sure."""
        if self.pid not in waited:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGHUP)
            time.sleep(0.1)
        with contextlib.suppress(OSError):
            os.close(self.master)
        world.end(self.pid)
        waited.discard(self.pid)

"""One program in one flavour, from its start to its end: see flavours.py for the flavours."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import born, known_differences
from harness.world import (
    PATIENCE_S,
    FlavourError,
    descendants,
    told,
    waited,
)

SETTLED_S = 3.0
MAX_SAID = int(os.environ.get("ZAPTRACE_TEST_MAX_SAID", "20"))


@dataclass
class Outcome:
    """How a program ended."""

    status: int  # as waitpid gives it
    output: str
    cycles: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def exit(self) -> int:
        """As a shell shows it."""
        return os.waitstatus_to_exitcode(self.status)


class Run:
    """One program in one flavour. Use `with started(...) as it:`."""

    def __init__(
        self, flavour: str, argv: Sequence[str], place: Path, env: Mapping[str, str], cwd: Path
    ):
        self.flavour = flavour
        self.argv = [str(a) for a in argv]
        self.place = place
        self.cwd = cwd
        self.go_file = place / "go"
        self.env = {**env, "ZT_GO": str(self.go_file)}
        self.out = place / "out"
        self.cycles = 0
        self.notes: list[str] = []
        self.waits = False  # the program does nothing until it gets the go
        self.known: set[str] = set()  # known differences that were seen

    def start(self) -> None:
        raise NotImplementedError

    def cycle(self) -> bool:
        """Do what the flavour is about, now. False when the program had ended by then."""
        raise NotImplementedError

    def wait(self, timeout: float) -> int | None:
        """The wait status of the program, or None after `timeout` seconds."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def signal(self, number: int) -> None:
        """A signal for the program's first process."""
        raise NotImplementedError

    def processes(self) -> list[dict[str, Any]]:
        """vpid, rpid, ppid, comm, state, threads of each; empty where nobody can tell."""
        return []

    def output(self) -> str:
        return self.out.read_text(encoding="utf-8", errors="replace") if self.out.exists() else ""

    def note(self, text: str) -> None:
        """What whoever reads the test's result should know."""
        self.notes.append(text)
        told.append(text)

    def _no_differences(self, what: str, found: list[str]) -> None:
        """Fails unless all of them are known."""
        strange, known = known_differences.sort(found)
        for reason in known - self.known:
            self.note(f"known difference: {reason}")
        self.known |= known
        if strange:
            more = len(strange) - MAX_SAID
            said = [*strange[:MAX_SAID], *([f"and {more} more"] if more > 0 else [])]
            raise FlavourError(
                f"{' '.join(self.argv)} as {self.flavour}: {what}:\n  " + "\n  ".join(said)
            )

    def go(self) -> None:
        self.go_file.touch()

    def wait_for(self, text: str, timeout: float = PATIENCE_S) -> None:
        """Until the program has printed `text`."""
        deadline = time.monotonic() + timeout
        while text not in self.output():
            if self.wait(0.01) is not None and text not in self.output():
                raise self.failed(f"it ended before it printed {text!r}")
            if time.monotonic() > deadline:
                raise self.failed(f"it did not print {text!r} in {timeout:.0f} s")

    def settle(self) -> None:
        """Until each of its threads has been asleep: what it has to do before it waits is done then.

        A thread that is new, or has not run since its birth, is not yet what it will be all the time:
        signals are blocked, the stack is its maker's. One that never sleeps is not waited for.
        """
        asleep: set[int] = set()
        before: set[int] | None = None
        deadline = time.monotonic() + SETTLED_S
        while time.monotonic() < deadline:
            threads = set(_threads(process["rpid"] for process in self.processes()))
            asleep |= {thread for thread in threads if thread_state(thread) in "STZ"}
            if threads == before and threads <= asleep:
                return
            before = threads
            time.sleep(0.001)

    def finish(self, timeout: float = PATIENCE_S) -> Outcome:
        """Wait for its end."""
        status = self.wait(timeout)
        if status is None:
            raise self.failed(f"it did not end in {timeout:.0f} s")
        return Outcome(status, self.output(), self.cycles, self.notes)

    def failed(self, what: str) -> FlavourError:
        tail, logged = _tail(self.out, 25), _tail(self.place / "runner.log", 40)
        return FlavourError(
            f"{' '.join(self.argv)} as {self.flavour}, after {self.cycles} cycles: {what}\n"
            f"processes: {self._safe_processes()}\nnotes: {self.notes}\n"
            f"--- its output ends\n{tail}\n"
            f"--- the supervisor's log ends\n{logged}"
        )

    def _safe_processes(self) -> Any:
        try:
            return self.processes()
        except Exception as error:
            return f"unknown ({error})"


class NativeRun(Run):
    """Without us."""

    def start(self) -> None:
        with open(self.out, "wb") as out, open("/dev/null", "rb") as null:
            self.process = subprocess.Popen(
                self.argv,
                stdin=null,
                stdout=out,
                stderr=out,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )
        waited.add(self.process.pid)

    def cycle(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout: float) -> int | None:
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return -code if code < 0 else code << 8

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def processes(self) -> list[dict[str, Any]]:
        return [{"rpid": pid} for pid in [self.process.pid, *descendants(self.process.pid)]]

    def close(self) -> None:
        below = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        waited.discard(self.process.pid)


class PodRun(Run):
    """In a pod whose supervisor is a runner.py that does as it is told, line by line."""

    def start(self) -> None:
        env = {**os.environ, "ZAPTRACE_RUNTIME_DIR": str(self.place / "run")}
        with open(self.place / "runner.log", "ab") as log:
            self.runner = self._nursery().fork(log, env)
        self.ask(
            "launch",
            argv=self.argv,
            env=self.env,
            cwd=str(self.cwd),
            out=str(self.out),
            place=str(self.place),
        )

    def _nursery(self) -> born.Nursery:
        """Where its runner is forked."""
        return born.nursery()

    def ask(self, verb: str, patience: float = PATIENCE_S, **args: Any) -> Any:
        """Have the runner do something; its answer, or a FlavourError with its traceback."""
        try:
            self.runner.stdin.write(json.dumps({"verb": verb, **args}) + "\n")
            self.runner.stdin.flush()
        except BrokenPipeError:
            raise self._runner_gone(verb) from None
        readable, _, _ = select.select([self.runner.stdout], [], [], patience)
        if not readable:
            raise FlavourError(f"{verb} did not answer in {patience:.0f} s: {self._stacks()}")
        line = self.runner.stdout.readline()
        if not line:
            raise self._runner_gone(verb)
        answer = json.loads(line)
        if "error" in answer:
            raise FlavourError(
                f"{' '.join(self.argv)} as {self.flavour}, cycle {self.cycles + 1}: {verb} failed\n"
                f"{answer['error']}\n--- its output ends\n{_tail(self.out, 25)}\n"
                f"--- the supervisor's log ends\n{self._log()}"
            )
        return answer["ok"]

    def cycle(self) -> bool:
        alive = {
            "pod": lambda: self.wait(0) is None,
            "frozen": self._freeze,
            "resume": lambda: self.checkpoint("resume"),
            "rehearsed": lambda: self.checkpoint("resume", rehearsal=True),
            "restore": self._move,
            "shifted": self._move,
            "twice": lambda: self._move(compare=False) and self._move(),
        }[self.flavour]()
        self.cycles += bool(alive)
        return bool(alive)

    def _freeze(self) -> bool:
        """Twice, if the program only waits: what it is should be the same each time."""
        self.ask("freeze")
        if self.waits:
            self.ask("look", against=None)
            self.ask("thaw")
            self._look_again("it was frozen and thawed, and is not what it was", "seen")
            return True
        self.ask("thaw")
        return self.wait(0) is None

    def _look_again(self, what: str, against: str) -> None:
        """It waits, and what it is should be what it was, though it has run."""
        self.ask("freeze")
        self._no_differences(what, self.ask("look", against=against))
        self.ask("thaw")

    def checkpoint(
        self, then: str, *, compare: bool = True, rehearsal: bool | None = None
    ) -> dict[str, Any] | None:
        """Facts of the checkpoint; None when the program had ended."""
        rehearsal = then == "stop" if rehearsal is None else rehearsal
        facts = self.ask(
            "checkpoint", then=then, compare=compare, rehearsal=rehearsal, waits=self.waits
        )
        if facts:
            self._no_differences("the checkpoint changed the pod", facts["differences"])
        return facts

    def _move(self, *, compare: bool = True) -> bool:
        before = self.checkpoint("stop", compare=compare)
        if before is None:
            return False
        self._stopped(before)
        self.restore(compare=compare)
        return True

    def _stopped(self, facts: dict[str, Any]) -> None:
        """The pod has been checkpointed, and is not there now."""

    def restore(self, *, compare: bool = True) -> dict[str, Any]:
        after = self.ask("restore", compare=compare)
        self._no_differences(
            "the restored pod is not the one that was checkpointed", after["differences"]
        )
        if self.waits and compare:
            self._look_again("the restored pod went on, and is not the one it was", "before")
        return after

    def wait(self, timeout: float) -> int | None:
        return self.ask("wait", timeout=timeout, patience=timeout + PATIENCE_S)

    def signal(self, number: int) -> None:
        self.ask("signal", number=number)

    def processes(self) -> list[dict[str, Any]]:
        return self.ask("processes", patience=10)

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError, FlavourError):
            if self.runner.poll() is None:
                self.ask("close", patience=20)
        self.runner.kill()
        self.runner.wait()
        self.runner.close()

    def _runner_gone(self, verb: str) -> FlavourError:
        code = self.runner.wait(10)
        return FlavourError(
            f"{' '.join(self.argv)} as {self.flavour}: the supervisor died at {verb} "
            f"({_ending(code)})\n{self._log()}"
        )

    def _log(self) -> str:
        return _tail(self.place / "runner.log", 60)

    def _stacks(self) -> str:
        """Where the runner hangs: faulthandler answers SIGUSR1 into its log."""
        self.runner.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        threads = [
            f"{p}: {Path(f'/proc/{p}/stat').read_text().split(') ')[1][0]} "
            f"{Path(f'/proc/{p}/wchan').read_text()}"
            for p in descendants(self.runner.pid)
            if os.path.exists(f"/proc/{p}/stat")
        ]
        return self._log() + "\n" + "\n".join(threads)


def _threads(processes: Iterable[int]) -> Iterator[int]:
    for pid in processes:
        with contextlib.suppress(OSError):
            yield from map(int, os.listdir(f"/proc/{pid}/task"))


def thread_state(rtid: int) -> str:
    """The letter of proc_pid_stat(5); Z if it is gone."""
    try:
        return Path(f"/proc/{rtid}/stat").read_text("ascii", "replace").rpartition(") ")[2][0]
    except OSError:
        return "Z"


def _tail(path: Path, lines: int) -> str:
    """The end of a text file that may not be there."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"

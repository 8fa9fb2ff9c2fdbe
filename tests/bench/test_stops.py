"""Every wait of the harness has an end; a stop leaves the results so far, and no process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench import asroot, keeper, page, report, samples
from bench.experiment import Figure
from bench.runner import Runner
from bench.samples import ENDLESS
from bench.system import EndlessError, Inside, LateError, RefusedError
from bench.systems.qemu import Machine, Monitor, going_on
from harness.fake_bench import FakeExperiment, FakeSystem
from harness.world import ROOT

PYTHONPATH = f"{ROOT}:{ROOT / 'tests'}"


def script(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(lines)]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PYTHONPATH}


ORPHAN = """sh -c 'setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $!'"""


def test_what_outlives_a_run_is_ended(place: Path):
    done = subprocess.run(
        script(
            "import subprocess, sys",
            "from bench import keeper",
            f"sys.exit(keeper.kept(lambda: subprocess.run({ORPHAN!r}, shell=True).returncode + 7))",
        ),
        env=environment(), cwd=place, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert "processes were left, and ended" in done.stderr
    assert gone(int(done.stdout.split()[0]))


def test_what_root_has_started_for_a_run_ends_with_it(place: Path):
    inner = f"from bench import asroot; print(asroot.run(['sh', '-c', {ORPHAN!r}])[1].split()[0])"
    done = subprocess.run(
        [sys.executable, "-m", "bench.asroot", *script(inner)],
        env=environment(), cwd=place, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert gone(int(done.stdout))


STOPPED = (
    "import signal, sys",
    "from bench import __main__ as bench, found, keeper",
    "from harness.fake_bench import FakeExperiment, FakeInside, FakeSystem",
    "class Hangs(FakeInside):",
    "    def run(self, argv, patience_s=0):",
    "        if (cost := next(self.costs)) == 99:",
    "            print('hangs', flush=True)",
    "            try:",
    "                signal.pause()",
    "            except BaseException:",
    "                raise OSError('and then this')",  # as a guest may say that is gone, too
    "        return str(cost)",
    "import harness.fake_bench",
    "harness.fake_bench.FakeInside = Hangs",
    "found.systems = lambda: {'native': FakeSystem('native', [1, 99, 1])}",
    "found.experiments = lambda: {'fake': FakeExperiment()}",
    "argv = ['fake', '--systems', 'native', '--rounds', '3', '--out', sys.argv[1]]",
    "sys.exit(keeper.kept(lambda: bench.measure(argv)))",
)


@pytest.mark.parametrize("number", keeper.STOPS)
def test_a_stop_keeps_what_was_measured(place: Path, number: int):
    out = place / "out"
    with subprocess.Popen(
        [*script(*STOPPED), str(out)], env=environment(), cwd=place, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as run:  # fmt: skip
        assert run.stdout and run.stdout.readline() == "hangs\n"
        run.send_signal(number)
        said, complained = run.communicate(timeout=60)
    assert run.returncode == 130, complained
    assert "stopped; what follows was measured until then" in complained
    assert [s.value for s in samples.read(out).samples] == [1] and str(out) in said


class Odd(FakeExperiment):
    """What comes instead of a sample."""

    def __init__(self, what: BaseException | None, limit_s: float = 60.0) -> None:
        super().__init__()
        self._what, self.limit_s = what, limit_s

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        if self._what:
            raise self._what
        signal.pause()
        return []


def voids_of(experiment: FakeExperiment) -> list[tuple[str, str]]:
    runner = Runner({"native": FakeSystem("native", [])}, rounds=1)
    runner.run(experiment)
    return [(void.why, void.said) for void in runner.results.voids]


def test_a_round_without_end_is_ended():
    assert voids_of(Odd(None, 0.01)) == [("late", "a round of one took more than 0 s")]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


class Orphans(FakeExperiment):
    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        self.child = os.fork()
        if self.child == 0:
            os._exit(3)
        os.waitid(os.P_PID, self.child, os.WEXITED | os.WNOWAIT)
        return [Figure("cost", 1.0, "ms")]


def test_what_ended_in_a_round_is_reaped_after_it():
    experiment = Orphans()
    Runner({"native": FakeSystem("native", [])}, rounds=1).run(experiment)
    with pytest.raises(ChildProcessError):
        os.waitpid(experiment.child, os.WNOHANG)


def test_that_it_does_not_converge_is_a_result():
    experiment = Odd(EndlessError("called off after 90 s: 17 passes"))
    runner = Runner({n: FakeSystem(n, [1, 2]) for n in ("native", "guest")}, rounds=1)
    runner.systems.pop("native")
    runner.run(experiment)
    assert [(v.why, v.system) for v in runner.results.voids] == [(ENDLESS, "guest")]
    other = Runner({"native": FakeSystem("native", [1])}, rounds=1)
    other.run(FakeExperiment())
    whole = samples.joined([other.results, runner.results])
    whole.samples.append(samples.Sample("fake", "two", "guest", 0, "cost", "ms", 2.0, 0.0))
    for text in (report.report(whole, {}, {}, {}), page.page(whole, {}, {})):
        assert f"| {ENDLESS} |" in text and "17 passes" in text


def test_what_a_migration_says_that_goes_on():
    ram = {"dirty-sync-count": 9, "transferred": 5 << 20, "remaining": 3 << 20}
    assert going_on({"ram": ram}) == "9 passes, 5 MiB sent, 3 MiB still to send"


@pytest.mark.parametrize(
    ("console", "why"),
    [
        ("boots\nKernel panic - not syncing: Oh\n", "Kernel panic - not syncing: Oh"),
        ("", "status 3"),
    ],
)
def test_a_machine_that_has_ended_says_why(place: Path, console: str, why: str):
    machine = object.__new__(Machine)
    machine._console = place / "console"
    machine._console.write_text(console)
    with subprocess.Popen(
        ["sh", "-c", "read -r x; exit 3"], stdin=subprocess.PIPE
    ) as machine.process:
        assert machine.last_words() == ""
        assert machine.process.stdin
        machine.process.stdin.close()
        machine.process.wait(60)
        assert machine.last_words() == f"its machine ended: {why}"


def test_rounds_are_as_many_as_the_time_allows_and_the_first_is_whole():
    experiment = FakeExperiment()
    runner = Runner({n: FakeSystem(n, [1, 2, 3]) for n in ("native", "other")}, rounds=3)
    runner.run(experiment, 0.0)
    assert [cost for _, cost in experiment.asked] == [1, 1]
    runner.run(experiment, 60.0)
    assert len(experiment.asked) == 2 + 6


def test_an_answer_for_who_was_interrupted_is_nobodys(place: Path):
    inner = (
        "import json, os, socket; from bench import asroot",
        "line = socket.socket(fileno=os.dup(int(os.environ[asroot.VARIABLE])))",
        "old = {'argv': ['echo', 'old'], 'out': None, 's': 60, 'number': -1}",
        "line.sendall(json.dumps(old).encode() + b'\\n')",
        "print(asroot.run(['echo', 'new']))",
    )
    done = subprocess.run(
        [sys.executable, "-m", "bench.asroot", *script(*inner)],
        env=environment(), cwd=place, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == "(0, 'new\\n')\n", done.stderr
    assert asroot.VARIABLE not in os.environ


def test_a_monitor_takes_the_answer_to_its_own_question(place: Path, monkeypatch):
    """And one that says nothing is late."""
    path = place / "monitor"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def machine() -> None:
        conn, _ = listener.accept()
        with conn, conn.makefile("rw") as file:
            print('{"QMP": {}}', file=file, flush=True)
            for line in file:
                asked = json.loads(line)
                if asked["execute"] == "silence":
                    continue
                print('{"event": "STOP"}', file=file)
                print(json.dumps({"return": "another's", "id": asked["id"] - 1}), file=file)
                word = "error" if asked["execute"] == "no" else "return"
                print(
                    json.dumps({word: {"desc": "done"}, "id": asked["id"]}), file=file, flush=True
                )

    thread = threading.Thread(target=machine)
    thread.start()
    try:
        monkeypatch.setattr("bench.systems.qemu.PATIENCE_S", 60.0)
        monitor = Monitor(path)
        assert monitor("stop") == {"desc": "done"}
        with pytest.raises(RefusedError, match="no: done"):
            monitor("no")
        monitor._socket.settimeout(0.01)
        with pytest.raises(LateError, match="silence: no answer"):
            monitor("silence")
        monitor.close()
    finally:
        thread.join(60.0)
        listener.close()
    assert not thread.is_alive()

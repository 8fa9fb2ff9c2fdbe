"""The demonstration shows what it says, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zaptrace import demo
from zaptrace.demo import program

REPO = Path(__file__).resolve().parents[2]


def start(place: Path, *argv: str) -> subprocess.Popen[str]:
    env = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(REPO)}
    return subprocess.Popen(
        [sys.executable, "-m", "zaptrace", "demo", "--stay", "0.5", *argv],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_empty(place: Path) -> None:
    deadline = time.monotonic() + 60
    while os.listdir(place):
        assert time.monotonic() < deadline, os.listdir(place)
        time.sleep(0.05)


def test_there_and_back(place: Path) -> None:
    with start(place, "--json") as child:
        out, err = child.communicate(timeout=120)
    assert child.returncode == 0, out + err
    result = json.loads(out)
    assert result["ok"] and result["failures"] == []
    assert [(h["source"], h["destination"]) for h in result["hops"]] == [
        ("one", "two"),
        ("two", "one"),
    ]
    assert (result["processes"], result["threads"]) == (4, 8)
    assert result["last"] == sum(result["lines"].values()) - 1  # the last line says "end"
    assert os.listdir(place) == []


@pytest.mark.parametrize("number", [2, 9, 15], ids=["INT", "KILL", "TERM"])
def test_cleans_up_whatever_happens(place: Path, number: int) -> None:
    with start(place, "--stay", "60") as child:
        assert child.stdout is not None
        while "runs on host one" not in child.stdout.readline():
            assert child.poll() is None
        child.send_signal(number)
        child.communicate(timeout=60)
    assert child.returncode != 0
    wait_until_empty(place)


def test_the_program_writes_each_line_in_one_call() -> None:
    """A move between two writes would leave half a line on each host."""
    read, write = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)  # a read gives what one write put in
    argv = [sys.executable, program.__file__, "1000"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, stdout=write, env=env) as child, os.fdopen(read, "rb", 0) as lines:
        os.close(write)
        written = [lines.read(4096) for _ in range(20)]
        child.send_signal(signal.SIGUSR1)
        written += iter(lambda: lines.read(4096), b"")
        assert child.wait(60) == 0
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in written), written
    assert written[-1].startswith(b"end ")


class TestProof:
    """It can fail."""

    def logs(self, *parts: list[int], end: bool = True) -> list[demo.Log]:
        found, running, last = [], "", 0
        for number, part in enumerate(parts):
            name = demo.HOSTS[number % 2]
            log = demo.Log(demo.Host(name, Path("/"), ""), Path("/nowhere"))
            for n in part:
                checksum = program.checksum_of(n)
                running, last = program.chained(running, checksum), n
                log.lines.append(f"{n} {checksum} {running} 7 1")
            found.append(log)
        if end:
            found[-1].lines.append(f"end {last} {running}")
        return found

    def failures(self, logs: list[demo.Log]) -> list[str]:
        result = demo.Result()
        demo._prove(result, logs)
        return result.failures

    def test_holds(self) -> None:
        assert self.failures(self.logs([1, 2], [3], [4, 5])) == []

    @pytest.mark.parametrize(
        "parts",
        [([1, 2], [2, 3], [4]), ([1, 2], [4], [5]), ([1, 3], [2], [4]), ([1, 2], [], [3])],
        ids=["repeated", "lost", "out of order", "nothing on a host"],
    )
    def test_fails(self, parts: tuple[list[int], ...]) -> None:
        assert self.failures(self.logs(*parts))

    def test_fails_without_an_end(self) -> None:
        assert self.failures(self.logs([1], [2], [3], end=False))

    def test_fails_for_half_a_line(self) -> None:
        logs = self.logs([1], [2], [3])
        logs[0].rest = b"2 "
        assert self.failures(logs)

    def test_fails_for_a_worker_with_a_new_pid(self) -> None:
        logs = self.logs([1, 2], [3], [4])
        for log, pid in zip(logs, "789", strict=True):
            log.lines[0] = log.lines[0].replace(" 7 1", f" {pid} 1")
        assert self.failures(logs)
